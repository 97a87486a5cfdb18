using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Msd;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Reports;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Tests.Backbones;

/// <summary>States of networks in files, with our own reader and writer and with Python's PyTorch as the other side.</summary>
public sealed class NetworkFilesTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    private string File => Path.Combine(_folder, "state.pt");

    [Fact]
    public void What_one_network_saves_another_loads_into_the_same_tensors_which_stay_as_trainable_as_they_were()
    {
        var options = new MsdNetOptions { Blocks = 2, Channels = 8, Growth = 2 };
        using MsdNet source = new(
            options, ImageKind.Cifar, classes: 3, new LayerFactory(Initialisation.He, new Generator(1), float32, CPU));
        using MsdNet target = new(
            options, ImageKind.Cifar, classes: 3, new LayerFactory(Initialisation.He, new Generator(2), float32, CPU));
        (string frozenName, Parameter frozen) = target.named_parameters().First();
        frozen.requires_grad = false;
        Dictionary<string, Tensor> before = target.state_dict();
        bool[] trainable = [.. before.Values.Select(tensor => tensor.requires_grad)];

        source.SavePy(File);
        target.LoadPy(File);

        Dictionary<string, Tensor> expected = source.state_dict();
        before.Should().HaveCountGreaterThan(50);
        before.Keys.Should().Equal(expected.Keys);
        before.Should().OnlyContain(entry => SameBits(entry.Value, expected[entry.Key]), "the tensors themselves have the new values");
        target.state_dict().Values.Select(tensor => tensor.requires_grad).Should().Equal(trainable);
        target.ParameterNames.Should().NotContain(frozenName).And.HaveCount(source.ParameterNames.Count - 1);
    }

    /// <summary>Of a plain module of TorchSharp they would be gone without a word.</summary>
    [Fact]
    public void Parameters_and_buffers_outlive_the_dispose_scope_in_which_their_module_is_made()
    {
        Net net;
        using (NewDisposeScope())
        {
            net = new Net();
        }

        using (net)
        {
            net.state_dict().Keys.Should().Equal("scale", "mean", "count");
            net.SavePy(File);
            net.LoadPy(File);
        }
    }

    [Fact]
    public void Our_own_reader_and_writer_are_another_side()
    {
        using Net net = new(), other = new();
        Fill(net, 3);
        net.SavePy(File);
        TorchDictionary content = TorchFileReader.Read(File);
        content.Entries.Keys.Select(key => key.Text).Should().Equal("scale", "mean", "count");
        content.Tensors().Should().OnlyContain(entry => SameBits(entry.Value, net.state_dict()[entry.Key]));

        TorchFileWriter.Write(File, new TorchDictionary(net.state_dict()));
        other.LoadPy(File);
        other.state_dict().Should().OnlyContain(entry => SameBits(entry.Value, net.state_dict()[entry.Key]));
    }

    [Fact]
    public void PyTorch_loads_what_we_saved_and_we_load_what_it_saved()
    {
        PythonTorch.Require();
        using Net net = new();
        Fill(net, 3);
        net.SavePy(File);
        string theirs = Path.Combine(_folder, "theirs.pt");

        string output = PythonTorch.Run("""
            import sys, torch
            class Net(torch.nn.Module):
                def __init__(self):
                    super().__init__()
                    self.scale = torch.nn.Parameter(torch.zeros(2, 3))
                    self.register_buffer('mean', torch.zeros(2, dtype=torch.float64))
                    self.register_buffer('count', torch.tensor(0))
            net = Net()
            state = torch.load(sys.argv[1])
            print(net.load_state_dict(state), any(t.requires_grad for t in state.values()))
            print(net.scale.tolist(), net.mean.tolist(), net.count.item())
            net.scale.data += 2
            torch.save(net.state_dict(), sys.argv[2])
            """, File, theirs);
        output.Should().Be("<All keys matched successfully> False\n[[3.0, 3.0, 3.0], [3.0, 3.0, 3.0]] [3.0, 3.0] 3\n");

        net.LoadPy(theirs);
        net.Scale.data<float>().ToArray().Should().OnlyContain(value => value == 5);
        net.Scale.requires_grad.Should().BeTrue("Python's state dictionaries have none, and the network is trained on");
    }

    [Fact]
    public void Tensors_are_saved_however_they_lie_in_memory()
    {
        using Net source = new(), target = new();
        (string Name, Tensor Values)[] buffers =
        [
            ("last", rand(2, 3, 4, 5).permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)),
            ("transposed", arange(Held(0), Held(6), One).view(2, 3).t()),
            ("expanded", arange(Held(0), Held(3), One).expand(2, 3)),
            ("offset", arange(Held(0), Held(6), One).narrow(0, 2, 3)),
            ("start", arange(Held(0), Held(6), One).narrow(0, 0, 3)),
            ("empty", zeros([0, 3])),
        ];
        Array.ForEach(buffers, buffer => source.register_buffer(buffer.Name, buffer.Values));
        Array.ForEach(buffers, buffer => target.register_buffer(buffer.Name, zeros(buffer.Values.shape, buffer.Values.dtype)));

        source.SavePy(File);
        target.LoadPy(File);

        target.state_dict().Should().HaveCount(9).And.OnlyContain(entry => SameBits(entry.Value, source.state_dict()[entry.Key]));
    }

    [Fact]
    public void What_lies_channels_last_is_loaded_by_its_indices()
    {
        using Net source = new(), target = new();
        source.register_buffer("image", rand(2, 3, 4, 5));
        target.register_buffer("image", zeros(2, 4, 5, 3).permute(0, 3, 1, 2));

        source.SavePy(File);
        target.LoadPy(File);

        SameBits(target.get_buffer("image")!, source.get_buffer("image")!).Should().BeTrue();
    }

    public static TheoryData<string, string> Misfits => new()
    {
        { "transposed", "1 have a different shape or type (scale is Float32 [3, 2] and not Float32 [2, 3])" },
        { "row", "1 have a different shape or type (scale is Float32 [3] and not Float32 [2, 3])" },
        { "broadcast", "1 have a different shape or type (scale is Float32 [1, 3] and not Float32 [2, 3])" },
        { "wide", "1 have a different shape or type (scale is Float64 [2, 3] and not Float32 [2, 3])" },
        { "missing", "2 of the network's tensors are missing (scale and 1 more)" },
        { "unexpected", "1 are not the network's (module.scale)" },
        { "checkpoint", "does not contain a state dictionary: its state_dict is not a tensor" },
    };

    [Theory]
    [MemberData(nameof(Misfits))]
    public void What_does_not_fit_is_refused_in_one_line_and_nothing_is_copied(string how, string problem)
    {
        using Net net = new();
        Fill(net, 7);
        var content = new TorchDictionary(
            new Dictionary<string, Tensor> { ["count"] = tensor(1L), ["mean"] = ones([2], float64), ["scale"] = ones([2, 3]) });
        switch (how)
        {
            case "transposed":
                content["scale"] = ones([3, 2]);
                break;
            case "row":
                content["scale"] = ones([3]);
                break;
            case "broadcast":
                content["scale"] = ones([1, 3]);
                break;
            case "wide":
                content["scale"] = ones([2, 3], float64);
                break;
            case "missing":
                content.Entries.Remove("scale");
                content.Entries.Remove("mean");
                break;
            case "unexpected":
                content["module.scale"] = ones([2, 3]);
                break;
            default:
                content = new TorchDictionary { ["state_dict"] = content };
                break;
        }

        TorchFileWriter.Write(File, content);
        Refusal(net).Should().StartWith($"{File} ").And.Contain(problem);
    }

    [Theory]
    [InlineData("views_zip.pt")]
    [InlineData("views_legacy.pt")]
    public void Files_that_PyBridge_does_not_read_are_refused_in_one_line(string file)
    {
        using Net net = new();
        Fill(net, 7);
        System.IO.File.Copy(GoldenFiles.Find($"pytorch_files/{file}"), File);
        Refusal(net).Should().StartWith($"{File} cannot be read (").And.Contain("imta convert can read");
    }

    [Fact]
    public void Files_that_are_torn_or_none_are_refused_in_one_line()
    {
        using Net net = new();
        Fill(net, 7);
        net.SavePy(File);
        byte[] whole = System.IO.File.ReadAllBytes(File);
        foreach (byte[] content in new[] { whole[..(whole.Length / 2)], [], "epoch,loss\n1,0.5\n"u8.ToArray() })
        {
            System.IO.File.WriteAllBytes(File, content);
            Refusal(net).Should().StartWith($"{File} cannot be read (");
        }
    }

    /// <summary>PyBridge fails in a dozen ways then, of which casts and indices are two.</summary>
    [Theory]
    [InlineData(0x01)]
    [InlineData(0x20)]
    [InlineData(0xff)]
    public void A_file_with_a_wrong_byte_is_refused_in_one_line_or_fits(byte change)
    {
        using Net net = new();
        net.SavePy(File);
        byte[] whole = System.IO.File.ReadAllBytes(File);
        int refused = 0;
        for (int at = 0; at < whole.Length; at += 3)
        {
            byte[] damaged = [.. whole];
            damaged[at] ^= change;
            System.IO.File.WriteAllBytes(File, damaged);
            try
            {
                net.LoadPy(File);
            }
            catch (InvalidDataException e)
            {
                e.Message.Should().StartWith(File).And.NotContain("\n");
                refused++;
            }
        }

        refused.Should().BeGreaterThan(whole.Length / 30);
    }

    [Fact]
    public void A_longer_file_is_replaced_whole_and_a_refused_save_leaves_it()
    {
        using Net large = new(), net = new();
        large.register_buffer("more", rand(1000));
        large.SavePy(File);
        net.SavePy(File);
        byte[] whole = System.IO.File.ReadAllBytes(File);
        net.LoadPy(File);

        using Net broken = new();
        Array.ForEach<Tensor>([.. broken.state_dict().Values], tensor => tensor.Dispose());
        Action save = () => broken.SavePy(File);
        save.Should().Throw<InvalidOperationException>().WithMessage("*no tensors to save*DetachFromDisposeScope*");
        Action nowhere = () => net.SavePy(Path.Combine(_folder, "no", "state.pt"));
        nowhere.Should().Throw<IOException>();
        System.IO.File.ReadAllBytes(File).Should().Equal(whole);
        Directory.GetFiles(_folder).Should().Equal(File);
    }

    public void Dispose()
    {
        _scope.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private string Refusal(Net net)
    {
        int live = _scope.DisposablesCount;
        Action load = () => net.LoadPy(File);
        string message = load.Should().ThrowExactly<InvalidDataException>().Which.Message;
        message.Should().NotContain("\n");
        _scope.DisposablesCount.Should().Be(live);
        net.state_dict().Values.Should().OnlyContain(tensor => tensor.to_type(float64).eq(7).all().item<bool>());
        net.Scale.requires_grad.Should().BeTrue();
        return message;
    }

    private static void Fill(Net net, double value)
    {
        using var _ = no_grad();
        foreach (Tensor tensor in net.state_dict().Values)
        {
            tensor.fill_(Held(value));
        }
    }

    private static bool SameBits(Tensor actual, Tensor expected)
    {
        using DisposeScope scope = NewDisposeScope();
        return actual.dtype == expected.dtype && actual.shape.SequenceEqual(expected.shape)
            && actual.detach().contiguous().bytes.SequenceEqual(expected.detach().contiguous().bytes);
    }

    private sealed class Net : NamedModule
    {
        public readonly Parameter Scale = new(zeros([2, 3]));

        public Net()
            : base(nameof(Net))
        {
            register_parameter("scale", Scale);
            register_buffer("mean", zeros([2], float64));
            register_buffer("count", tensor(0L));
        }
    }
}

using System.Collections;
using TorchSharp.Modules;
using TorchSharp.PyBridge;

namespace Imta.MetaWeight.Tests.PyBridge;

/// <summary>States of modules in files, for both formats.</summary>
public sealed class PyBridgeModuleTests : IDisposable
{
    private readonly string _file = Path.GetTempFileName();

    /// <summary>Saves and loads by path and by stream.</summary>
    public static TheoryData<string, string> Ways => new() { { "py", "path" }, { "py", "stream" }, { "safetensors", "path" }, { "safetensors", "stream" } };

    [Theory]
    [MemberData(nameof(Ways))]
    public void What_one_module_saves_another_loads(string format, string way)
    {
        using var source = new Net(3);
        using var target = new Net(7);
        Dictionary<string, bool> loaded = [];

        Save(source, format, way).Should().BeSameAs(source);
        Load(target, format, way, loadedParameters: loaded).Should().BeSameAs(target);

        target.state_dict().Values.Should().AllSatisfy(tensor => Values(tensor).Should().OnlyContain(value => value == 3));
        target.state_dict().Values.OfType<Parameter>().Should().OnlyContain(parameter => parameter.requires_grad);
        loaded.Should().BeEquivalentTo(new Dictionary<string, bool> { ["scale"] = true, ["norm.mean"] = true, ["norm.count"] = true });
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public void Names_that_are_skipped_are_neither_saved_nor_loaded(string format, string way)
    {
        using var source = new Net(3);
        using var target = new Net(7);
        Dictionary<string, bool> loaded = [];

        Save(source, format, way, skip: ["norm.mean"]);
        Load(target, format, way, skip: ["norm.mean", "scale"], loadedParameters: loaded);

        Dictionary<string, Tensor> state = target.state_dict();
        Values(state["scale"]).Should().OnlyContain(value => value == 7);
        Values(state["norm.mean"]).Should().OnlyContain(value => value == 7);
        Values(state["norm.count"]).Should().OnlyContain(value => value == 3);
        loaded.Should().BeEquivalentTo(new Dictionary<string, bool> { ["scale"] = false, ["norm.count"] = true });
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public void A_state_with_other_names_is_refused_when_strict_and_reported_when_not(string format, string way)
    {
        using var scope = NewDisposeScope();
        using var target = new Net(7);
        Write(format, new() { ["scale"] = full([2], 3), ["bias"] = ones([2]) });

        Action strict = () => Load(target, format, way);
        strict.Should().Throw<InvalidOperationException>().WithMessage("*norm.mean*bias*");
        Values(target.state_dict()["scale"]).Should().OnlyContain(value => value == 7);

        Dictionary<string, bool> loaded = [];
        Load(target, format, way, strict: false, loadedParameters: loaded);
        Values(target.state_dict()["scale"]).Should().OnlyContain(value => value == 3);
        loaded.Should().BeEquivalentTo(new Dictionary<string, bool> { ["scale"] = true, ["bias"] = false });
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public void Another_shape_is_refused_and_nothing_is_left_behind(string format, string way)
    {
        using var target = new Net(7);
        using var scope = NewDisposeScope();
        using (NewDisposeScope())
        {
            Write(format, new() { ["scale"] = ones([3]), ["norm.mean"] = ones([2]), ["norm.count"] = tensor(1L) });
        }

        Action load = () => Load(target, format, way);
        load.Should().Throw<InvalidOperationException>().WithMessage("*scale*");
        scope.DisposablesCount.Should().Be(0);
    }

    [Fact]
    public void A_checkpoint_is_no_state_dictionary_and_the_message_says_what_it_is()
    {
        using var scope = NewDisposeScope();
        using var target = new Net(7);
        PyTorchPickler.PickleStateDict(_file, new Hashtable { ["state_dict"] = new Hashtable { ["scale"] = ones([2]) } });

        Action load = () => target.load_py(_file);
        load.Should().Throw<InvalidDataException>().WithMessage($"{_file} holds no state dictionary*'state_dict' is none*checkpoints*");
    }

    [Theory]
    [InlineData("py")]
    [InlineData("safetensors")]
    public void Streams_stay_open_only_when_asked(string format)
    {
        using var net = new Net(3);
        var stream = new MemoryStream();
        SaveTo(net, format, stream, leaveOpen: true);
        LoadFrom(net, format, stream, leaveOpen: true);
        stream.CanRead.Should().BeTrue();
        LoadFrom(net, format, stream, leaveOpen: false);
        stream.CanRead.Should().BeFalse();

        var closed = new MemoryStream();
        SaveTo(net, format, closed, leaveOpen: false);
        closed.CanRead.Should().BeFalse();
    }

    [SkippableFact]
    public void PyTorch_loads_into_its_module_what_we_saved_and_we_load_what_it_saved_in_either_format()
    {
        PythonTorch.Require();
        string[] theirs = [_file + ".zip", _file + ".legacy"];
        try
        {
            using var net = new Net(3);
            net.save_py(_file);
            string output = PythonTorch.Run("""
                import sys, torch
                class Norm(torch.nn.Module):
                    def __init__(self):
                        super().__init__()
                        self.register_buffer('mean', torch.zeros(2, dtype=torch.float64))
                        self.register_buffer('count', torch.tensor(0))
                class Net(torch.nn.Module):
                    def __init__(self):
                        super().__init__()
                        self.scale = torch.nn.Parameter(torch.zeros(2))
                        self.norm = Norm()
                net = Net()
                print(net.load_state_dict(torch.load(sys.argv[1])))
                print(net.scale.tolist(), net.norm.mean.tolist(), net.norm.count.item())
                net.scale.data += 2
                torch.save(net.state_dict(), sys.argv[2])
                torch.save(net.state_dict(), sys.argv[3], _use_new_zipfile_serialization=False)
                """, _file, theirs[0], theirs[1]);
            output.Trim().Split('\n').Should().Equal("<All keys matched successfully>", "[3.0, 3.0] [3.0, 3.0] 3");
            foreach (string file in theirs)
            {
                using var target = new Net(7);
                target.load_py(file);
                Values(target.state_dict()["scale"]).Should().Equal(5, 5);
                Values(target.state_dict()["norm.mean"]).Should().Equal(3, 3);
            }
        }
        finally
        {
            Array.ForEach(theirs, File.Delete);
        }
    }

    public void Dispose() => File.Delete(_file);

    private nn.Module Save(Net net, string format, string way, IList<string>? skip = null)
    {
        if (way == "path")
        {
            return format == "py" ? net.save_py(_file, skip) : net.save_safetensors(_file, skip);
        }

        return SaveTo(net, format, File.Create(_file), leaveOpen: false, skip);
    }

    private nn.Module Load(
        Net net, string format, string way, bool strict = true, IList<string>? skip = null, Dictionary<string, bool>? loadedParameters = null)
    {
        if (way == "path")
        {
            return format == "py" ? net.load_py(_file, strict, skip, loadedParameters) : net.load_safetensors(_file, strict, skip, loadedParameters);
        }

        return format == "py"
            ? net.load_py(File.OpenRead(_file), strict, skip, loadedParameters)
            : net.load_safetensors(File.OpenRead(_file), strict, skip, loadedParameters);
    }

    private static nn.Module SaveTo(Net net, string format, Stream stream, bool leaveOpen, IList<string>? skip = null)
        => format == "py" ? net.save_py(stream, skip, leaveOpen) : net.save_safetensors(stream, skip, leaveOpen);

    private static void LoadFrom(Net net, string format, Stream stream, bool leaveOpen)
        => _ = format == "py" ? net.load_py(stream, leaveOpen: leaveOpen) : net.load_safetensors(stream, leaveOpen: leaveOpen);

    private void Write(string format, Dictionary<string, Tensor> state)
    {
        if (format == "py")
        {
            PyTorchPickler.PickleStateDict(_file, state);
        }
        else
        {
            Safetensors.SaveStateDict(_file, state);
        }
    }

    private static double[] Values(Tensor tensor)
    {
        using var scope = NewDisposeScope();
        return tensor.detach().to_type(ScalarType.Float64).data<double>().ToArray();
    }

    private sealed class Net : nn.Module
    {
        public Net(double value)
            : base(nameof(Net))
        {
            register_parameter("scale", new Parameter(full([2], value)));
            register_module("norm", new Norm(value));
        }

        protected override void RegisterComponents()
        {
        }
    }

    private sealed class Norm : nn.Module
    {
        public Norm(double value)
            : base(nameof(Norm))
        {
            register_buffer("mean", full([2], value, ScalarType.Float64));
            register_buffer("count", tensor((long)value));
            register_buffer("scratch", zeros([1]), persistent: false);
        }

        protected override void RegisterComponents()
        {
        }
    }
}

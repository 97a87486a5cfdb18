using System.Formats.Tar;
using System.IO.Compression;
using System.Text;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary>Files that come in from other programs, as a user gives them: where the network lies, and what is none.</summary>
public sealed class ForeignFileTests(TrainedRun trained) : IClassFixture<TrainedRun>
{
    private static readonly string[] Alone = ["--config", "run/config.yaml", "--set", "meta.enabled=false"];

    /// <summary>The names and places that other training scripts give to a network.</summary>
    public static TheoryData<string, string> Places => new()
    {
        { "state_dict", "" }, { "state_dict", "module." }, { "state_dict", "_orig_mod." }, { "state_dict", "module._orig_mod." },
        { "state_dict", "_orig_mod.module." }, { "state_dict", "model." }, { "state_dict", "model._orig_mod." },
        { "model", "" }, { "net", "" }, { "model_state_dict", "module." }, { "state_dict_ema", "" }, { "", "" },
        { "", "_orig_mod." }, { "", "model." },
    };

    [Theory]
    [MemberData(nameof(Places))]
    public void Wherever_a_network_lies_it_is_read_to_the_bit(string place, string prefix)
    {
        trained.Make("whole.pth", "convert", "run", "whole.pth");
        trained.Make("expected.safetensors", ["convert", "whole.pth", "expected.safetensors", .. Alone]);
        using DisposeScope scope = NewDisposeScope();
        TorchDictionary network = Prefixed(prefix);
        TorchDictionary content = place.Length == 0 ? network : new TorchDictionary { [place] = network, ["best"] = new TorchDictionary() };
        content["epoch"] = 3L;
        content["lr"] = 0.5;
        TorchFileWriter.Write(trained.In("placed.pth"), content);

        trained.Run(0, ["convert", "placed.pth", "placed.safetensors", "--force", .. Alone]).Error.Should().BeEmpty();
        trained.Run(0, ["eval", "placed.pth", .. Alone, "--out", "placed", "--force"]);

        File.ReadAllBytes(trained.In("placed.safetensors")).Should().Equal(File.ReadAllBytes(trained.In("expected.safetensors")));
        File.ReadAllText(trained.In("placed", "exits.csv")).Should().Be(File.ReadAllText(trained.In("run", "exits.csv")));
    }

    /// <summary>A network of somebody's own may call its whole content so.</summary>
    [Theory]
    [InlineData("model.", "model.")]
    [InlineData("model.", "model.model.")] // in Lightning
    [InlineData("model.model.", "model.model.")]
    [InlineData("", "model.")]
    [InlineData("model.", "model.", "n_averaged")] // what torch.optim.swa_utils adds
    public void A_prefix_that_is_in_the_networks_own_names_stays(string own, string prefix, string? surplus = null)
    {
        using DisposeScope scope = NewDisposeScope();
        TorchDictionary file = Prefixed(prefix);
        string[] names = [.. Prefixed(own).Entries.Keys.Select(key => key.Text!)];
        if (surplus is not null)
        {
            file[surplus] = tensor(1L);
        }

        TorchFileWriter.Write(trained.In("own.pth"), file);

        ForeignFile.Open(trained.In("own.pth"), configured: true)!.For(names).BackboneTensors.Keys.Should()
            .BeEquivalentTo(surplus is null ? names : [.. names, surplus]);
    }

    [Fact]
    public void A_network_that_lies_elsewhere_is_refused_by_where_it_lies()
    {
        using DisposeScope scope = NewDisposeScope();
        TorchFileWriter.Write(
            trained.In("elsewhere.pth"),
            new TorchDictionary { ["loss"] = tensor(0.5), ["nets"] = new TorchDictionary { ["student"] = Prefixed(""), ["n"] = 1L } });
        int count = Prefixed("").Entries.Count;
        trained.Refusal(["eval", "elsewhere.pth", .. Alone]).Should().Contain(
            $"but {count} tensors by name under ['nets']['student']: in Python, torch.save(torch.load(IN)['nets']['student'], OUT)");

        TorchDictionary renamed = Prefixed("backbone.");
        renamed["criterion.weight"] = ones(3);
        TorchFileWriter.Write(trained.In("renamed.pth"), new TorchDictionary { ["state_dict"] = renamed });
        foreach (string[] command in new string[][] { ["convert", "renamed.pth", "no.pt"], ["eval", "renamed.pth"] })
        {
            trained.Refusal([.. command, .. Alone]).Should()
                .Contain("has them with the prefix backbone. in their names: in Python, remove it with name.removeprefix('backbone.')");
        }

        trained.Refusal("convert", "renamed.pth", "no.pt", "--config", "run/config.yaml").Should()
            .Contain("removeprefix('backbone.')").And.Contain("meta.enabled=false");

        TorchFileWriter.Write(trained.In("other.pth"), new TorchDictionary { ["state_dict"] = new TorchDictionary { ["a.b"] = ones(3) } });
        trained.Refusal(["eval", "other.pth", .. Alone]).Should().Contain("use another --config").And.NotContain("removeprefix");
    }

    [Fact]
    public void Only_a_needed_value_of_an_unknown_kind_is_an_error()
    {
        using DisposeScope scope = NewDisposeScope();
        trained.Run(0, "convert", "run", "known.safetensors");
        Dictionary<string, Tensor> tensors = Safetensors.Read(trained.In("known.safetensors")).Tensors();
        string needed = tensors.Keys.First(name => name.EndsWith("weight", StringComparison.Ordinal));
        tensors["scale"] = ones([2], ScalarType.Int16);
        Safetensors.Write(trained.In("beside.safetensors"), tensors);
        tensors.Remove("scale");
        tensors[needed] = tensors[needed].to_type(ScalarType.Int16);
        Safetensors.Write(trained.In("needed.safetensors"), tensors);
        foreach (string file in new[] { "beside.safetensors", "needed.safetensors" })
        {
            byte[] content = File.ReadAllBytes(trained.In(file));
            content.AsSpan().IndexOf("\"I16\""u8).Should().BePositive();
            "\"U16\""u8.CopyTo(content.AsSpan(content.AsSpan().IndexOf("\"I16\""u8)));
            File.WriteAllBytes(trained.In(file), content);
        }

        trained.Run(0, "convert", "beside.safetensors", "beside2.safetensors").Error.Should()
            .EndWith("1 of its values are not supported and are skipped (scale is 'safetensors.U16')\n");
        File.ReadAllBytes(trained.In("beside2.safetensors")).Should().Equal(File.ReadAllBytes(trained.In("known.safetensors")));
        trained.Run(0, "eval", "beside.safetensors", "--config", "run/config.yaml", "--out", "beside").Error.Should().NotContain("scale");
        trained.Refusal("eval", "needed.safetensors", "--config", "run/config.yaml").Should()
            .Contain($"its {needed} is a tensor of type U16, which is not supported; convert it to a type such as F32");
    }

    [Fact]
    public void An_optimiser_with_values_of_unknown_kinds_is_left_out_of_a_copy_with_a_warning()
    {
        using DisposeScope scope = NewDisposeScope();
        byte[] pickle = Encoding.Latin1.GetBytes(
            "\u0080\u0002}(U\u0005epochK\u0001U\nstate_dict}U\u0001actorch._utils\n_rebuild_tensor_v2\n("
            + "(U\u0007storagectorch\nFloatStorage\nU\u00010U\u0003cpuK\u0001tQK\0))\u0089ccollections\nOrderedDict\n)RtRs"
            + "U\toptimizer}(U\u0005state}U\u000cparam_groups]}U\u0002lr"
            + "cnumpy.core.multiarray\nscalar\n)Rsauu.");
        Zip("decays.pth", ("a/data.pkl", pickle), ("a/data/0", new byte[4]));

        trained.Run(0, "convert", "decays.pth", "copy.pth").Error.Should()
            .Be("warning: decays.pth: its optimizer is skipped, since it contains 'numpy.core.multiarray.scalar', which is not "
                + "supported\n");
        trained.Run(0, "convert", "decays.pth", "copy.safetensors").Error.Should().BeEmpty();

        TorchFileReader.Read(trained.In("copy.pth")).Entries.Keys.Select(key => key.Text).Should().Equal("epoch", "state_dict");
    }

    [Fact]
    public void What_is_no_checkpoint_is_told_by_what_it_is_and_what_to_do()
    {
        trained.Run(0, "convert", "run", "sound.pth");
        trained.Run(0, "convert", "run", "sound.safetensors");
        byte[] sound = File.ReadAllBytes(trained.In("sound.pth"));
        Write("page.pth", "\n<!DOCTYPE html>\n<html><body>Quota exceeded</body></html>\n"u8);
        Write("error.safetensors", "<?xml version='1.0'?><Error>AccessDenied</Error>"u8);
        Write("pointer.pth", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 132735\n"u8);
        Write("text.pth", "404: Not Found"u8);
        Write("empty.pth", []);
        Write("noise.pth", [0, 1, 2, 3]);
        Write("half.pth", sound.AsSpan(0, sound.Length / 2));
        Write("half.safetensors", File.ReadAllBytes(trained.In("sound.safetensors")).AsSpan()[..^100]);
        Write("start.safetensors", File.ReadAllBytes(trained.In("sound.safetensors")).AsSpan(0, 100));
        Write("pickle.pth", [0x80, 2, (byte)'}', (byte)'.']);
        Zip("module.pth", ("a/data.pkl", [0x80, 2, .. "cm\nNet\n)"u8, 0x81, (byte)'.']));
        Zip("images.pth", ("images/1.png", [1]));
        Zip("script.pt", ("net/data.pkl", [0x80, 2, (byte)'}', (byte)'.']), ("net/constants.pkl", [1]), ("net/code/a.py", [1]));
        using (var gzip = new GZipStream(File.Create(trained.In("sound.pth.gz")), CompressionLevel.Fastest))
        {
            gzip.Write(sound);
        }

        using (var tar = new TarWriter(File.Create(trained.In("sound.pth.tar"))))
        {
            tar.WriteEntry(trained.In("sound.pth"), "sound.pth");
        }

        foreach ((string file, string problem) in new[]
        {
            ("page.pth", "it is a web page (HTML or XML): download the file itself, not the page about it"),
            ("error.safetensors", "it is a web page (HTML or XML): download the file itself"),
            ("pointer.pth", "it is a Git LFS pointer to the file, not the file: run git lfs pull"),
            ("text.pth", "it is text that starts with '404: Not Found'; expected a checkpoint of imta train"),
            ("empty.pth", "it is empty: copy or download it again"),
            ("noise.pth", "its first bytes match no known format; expected a checkpoint of imta train"),
            ("half.pth", "it is a zip file whose list of contents, at its end, is missing or damaged; the file is incomplete: copy or"),
            ("half.safetensors", "but its tensors end at"), ("half.safetensors", "; the file is incomplete: copy or download it again"),
            ("start.safetensors", "; the file is incomplete: copy or download it again"),
            ("pickle.pth", "not with PyTorch's magic number: load it in Python and save it with torch.save"),
            ("module.pth", "but the Python object 'm.Net', which is not supported; in Python, save its state_dict() instead"),
            ("images.pth", "it is a zip file of other things (no NAME/data.pkl, but 'images/1.png'): unpack it first"),
            ("script.pt", "it is a TorchScript archive (torch.jit.save): in Python, save the network's tensors with torch.save("),
            ("sound.pth.gz", "it is compressed with gzip: unpack it first"), ("sound.pth.tar", "it is a tar archive: unpack it first"),
        })
        {
            trained.Refusal("convert", file, "no.pth").Should()
                .Contain($"{file} does not contain a readable network: ").And.Contain(problem).And.NotContain("Central Directory");
            File.Exists(trained.In("no.pth")).Should().BeFalse();
        }

        foreach (string[] command in new string[][]
        {
            ["eval"], ["calibrate", "--shares", "1,1,1"], ["infer", "--policy", "p.json"],
        })
        {
            trained.Refusal([command[0], "page.pth", .. command[1..], "--config", "run/config.yaml"]).Should().Contain("it is a web page");
        }

        trained.Refusal(["train", "--out", "second", "--set", "phase2.epochs=1", "--set", "phase2.from=page.pth"]).Should()
            .Contain("page.pth is not a readable checkpoint (it is a web page");
    }

    private TorchDictionary Prefixed(string prefix)
        => new(TorchFileReader.Read(trained.In("run", "checkpoints", "latest.pt")).Dictionary("state_dict").Tensors()
            .Select(entry => KeyValuePair.Create(prefix + entry.Key, entry.Value)));

    private void Write(string file, ReadOnlySpan<byte> content) => File.WriteAllBytes(trained.In(file), content);

    private void Zip(string file, params (string Name, byte[] Content)[] entries)
    {
        using var archive = new ZipArchive(File.Create(trained.In(file)), ZipArchiveMode.Create);
        foreach ((string name, byte[] content) in entries)
        {
            using Stream stream = archive.CreateEntry(name).Open();
            stream.Write(content);
        }
    }
}

using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Msd;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Tests.Backbones;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary><c>model.msdnet.bottleneck=false</c> in commands as a user runs them.</summary>
public sealed class BottleneckSettingTests : IDisposable
{
    private static readonly string[] Without = ["--set", "model.msdnet.bottleneck=false"];

    private readonly TemporaryFolder _folder = new();
    private readonly DisposeScope _scope = NewDisposeScope();

    [Fact]
    public void A_network_without_bottlenecks_trains_answers_and_goes_there_and_back()
    {
        _folder.Run(0,
            ["train", "--out", "run", .. ImtaProcess.Tiny, .. Without, "--set", "modifiers.isc.enabled=true", "--set", "train.epochs=1"]);
        _folder.Run(0, "calibrate", "run", "--shares", "0.5,0.5");
        _folder.Run(0, "infer", "run", "--policy", "run/policy.json", "--out", "answers.csv");
        _folder.Run(0, "convert", "run", "there.pth");
        _folder.Run(0, "convert", "there.pth", "back.pt", "--config", "run/config.yaml");
        _folder.Run(0, "eval", "back.pt", "--out", "tables");

        foreach (string table in new[] { "anytime.csv", "dynamic.csv", "predictions.csv" })
        {
            File.ReadAllText(_folder.In("tables", table)).Should().Be(File.ReadAllText(_folder.In("run", table)), table);
        }

        string[] names = [.. TorchFileReader.Read(_folder.In("there.pth")).Dictionary("state_dict").Tensors().Keys];
        string[] ofLayers = [.. names.Where(name => name.Contains(".conv_", StringComparison.Ordinal))];
        ofLayers.Select(name => name.Split(".net.")[1].Split('.')[0]).Distinct().Should().BeEquivalentTo("0", "1");
    }

    [Fact]
    public void A_published_state_dictionary_answers_as_the_published_structure_and_costs_the_same()
    {
        string[] sizes = ["data.dataset=cifar10", "model.msdnet.blocks=2", "model.msdnet.channels=8", "model.msdnet.growth=4",
            "meta.enabled=false", "threads=1"];
        string[] given = [.. sizes.SelectMany(setting => new[] { "--set", setting })];
        using var random = new Generator(5);
        var published = new PlainMsdNet(
            new MsdNetOptions { Blocks = 2, Channels = 8, Growth = 4, Bottleneck = false }, classes: 10, ScalarType.Float64, random);
        Tensor images = randn([4, 3, 32, 32], ScalarType.Float64, generator: random);
        Tensor[] logits = published.Forward(images, training: false);
        var state = new TorchDictionary(
            published.State.Select(entry => KeyValuePair.Create("module." + entry.Key, InFile(entry.Value.detach()))));
        TorchFileWriter.Write(_folder.In("published.pth"), new TorchDictionary { ["epoch"] = 4, ["state_dict"] = state });
        File.WriteAllText(_folder.In("given.yaml"), "");

        _folder.Run(0, ["convert", "published.pth", "own.pt", "--config", "given.yaml", .. given, .. Without]);
        _folder.Run(2, ["convert", "published.pth", "no.pt", "--config", "given.yaml", .. given]).Error.TrimEnd().Split('\n').Should()
            .ContainSingle().Which.Should().Contain("tensors are missing (").And.Contain(".net.3.weight");
        ImtaProcess.Result cost = _folder.Run(0, ["cost", .. given, .. Without]);

        using TrainedNetwork own = TrainedNetwork.Load(_folder.In("own.pt"), null, []);
        using IDisposable noGrad = no_grad();
        using var folding = new BatchNormFolding();
        Tensor[] answered = own.Network.Forward(images.to_type(ScalarType.Float32), new Pass(NormStatistics.Running) { Folding = folding });
        answered.Zip(logits, (one, other) => GoldenFile.RelativeError(GoldenFile.Values(one), GoldenFile.Values(other))).Should()
            .OnlyContain(error => error < 1e-5);
        published.Macs.Should().OnlyContain(macs => cost.Output.Contains($"{macs:N0}", StringComparison.Ordinal));
    }

    private static Tensor InFile(Tensor value) => value.is_floating_point() ? value.to_type(ScalarType.Float32) : value;

    public void Dispose()
    {
        _scope.Dispose();
        _folder.Dispose();
    }
}

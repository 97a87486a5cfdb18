using System.Globalization;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Msd;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Tests.Backbones;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary>
/// <c>imta verify</c> on reference values of other networks than those of <c>Tests/Golden</c>, computed by <see cref="PlainMsdNet"/>.
/// </summary>
public sealed class VerifyGeneratedTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly Generator _random = new(14);

    [Theory]
    [InlineData(100, 3, true, 8)]
    [InlineData(7, 1, true, 128)]
    [InlineData(100, 4, false, 8)]
    public void A_PyTorch_files_network_is_as_large_as_its_tensors(int classes, int blocks, bool bottleneck, int headChannels)
    {
        var options = new MsdNetOptions { Blocks = blocks, Channels = 6, Growth = 4, Bottleneck = bottleneck };
        var network = new PlainMsdNet(options, classes, float64, _random, headChannels);
        Tensor images = randn([3, 3, 32, 32], float64, generator: _random);
        Tensor[] logits = network.Forward(images, training: false);
        var checkpoint = new TorchDictionary
        {
            ["epoch"] = 3,
            ["state_dict"] = new TorchDictionary(
                network.State.ToDictionary(entry => entry.Key, entry => InFile(entry.Value.detach()))),
        };
        TorchFileWriter.Write(_folder.In("l2w_checkpoint_zip.pth.tar"), checkpoint);
        Dictionary<string, Tensor> expected = new(ByExit("eval_logits", logits)) { ["epoch"] = tensor(3L), ["x"] = images };
        foreach ((string name, Tensor value) in network.State)
        {
            expected.Add($"state_dict/{name}", value.detach());
        }

        Write("l2w_checkpoint_expected.pt", expected);

        ShouldPass("eval_logits", "state names", "state_dict");

        expected["eval_logits/0"] *= Held(1 + 1e-6);
        Write("l2w_checkpoint_expected.pt", expected);
        ImtaProcess.Run(_folder.Path, "verify", ".").Output.Should().MatchRegex(@"eval_logits +1\.0e-06 .* fail\n");
    }

    [Fact]
    public void An_MSDNet_without_bottlenecks_is_covered_in_numbers_and_in_costs()
    {
        var options = new MsdNetOptions { Blocks = 2, Channels = 8, Growth = 4, Bottleneck = false };
        var network = new PlainMsdNet(options, classes: 10, float64, _random);
        Tensor images = randn([4, 3, 32, 32], float64, generator: _random), labels = tensor(new long[] { 3, 9, 0, 3 });
        Dictionary<string, Tensor> golden = new(ByExit("eval_logits", network.Forward(images, training: false)))
        {
            ["x"] = images,
            ["y"] = labels,
        };
        foreach ((string name, Tensor value) in network.State)
        {
            golden.Add($"state/{name}", value.detach().clone());
        }

        string[] parameters = [.. network.State.Where(entry => entry.Value.requires_grad).Select(entry => entry.Key)];
        long count = parameters.Sum(name => network.State[name].numel());
        Tensor[] logits = network.Forward(images, training: true);
        Tensor[] losses = [.. logits.Select(z => nn.functional.cross_entropy(z, labels))];
        Tensor total = losses[0].add(losses[1], One);
        total.backward();
        foreach (string name in parameters)
        {
            golden.Add($"grad/{name}", network.State[name].grad!);
        }

        foreach ((string name, Tensor buffer) in network.State.Where(entry => !entry.Value.requires_grad))
        {
            golden.Add($"after/{name}", buffer);
        }

        foreach ((string key, Tensor value) in ByExit("train_logits", logits).Concat(ByExit("train_ce", losses)))
        {
            golden.Add(key, value);
        }

        golden["train_loss"] = total.detach();
        golden["grad_total_norm"] = stack([.. parameters.Select(name => network.State[name].grad!.norm())]).norm();
        golden["params_count"] = tensor(count);
        const string Settings = "data=0 nBlocks=2 base=1 step=1 stepmode=1 nChannels=8 growthRate=4 prune=0 bottleneck=0 num_classes=10";
        foreach (string setting in Settings.Split())
        {
            golden[$"config/{setting.Split('=')[0]}"] = tensor(long.Parse(setting.Split('=')[1], CultureInfo.InvariantCulture));
        }

        golden["config/grFactor"] = golden["config/bnFactor"] = tensor(new long[] { 1, 2, 4 });
        golden["config/reduction"] = tensor(0.5);
        Write("msdnet_cifar_narrow.pt", golden);
        const string Network = "MSDNet,cifar10,2,1,1,lin_grow,8,4,1-2-4,1-2-4,max,0.5,0,,,";
        IEnumerable<string> costs = network.Macs.Zip(
            ParametersUpTo(parameters, network), (macs, cost) => $"{macs},{cost}").Select((cost, k) => $"{Network},{k + 1},{cost},{count}");
        File.WriteAllLines(_folder.In("flops.csv"), [File.ReadLines(GoldenFiles.Find("flops.csv")).First(), .. costs]);

        ShouldPass("eval_logits", "train_logits", "grad", "after", "flops", "params", "total_params");
    }

    public void Dispose()
    {
        _random.Dispose();
        _scope.Dispose();
        _folder.Dispose();
    }

    /// <summary>Parameters of the blocks and heads up to each exit.</summary>
    private static IEnumerable<long> ParametersUpTo(string[] parameters, PlainMsdNet network)
        => Enumerable.Range(0, 2)
            .Select(k => parameters.Where(name => name.Split('.')[1][0] - '0' <= k).Sum(name => network.State[name].numel()));

    private static Tensor InFile(Tensor value) => value.is_floating_point() ? value.to_type(float32) : value;

    private static IEnumerable<KeyValuePair<string, Tensor>> ByExit(string prefix, Tensor[] values)
        => values.Select((value, k) => KeyValuePair.Create($"{prefix}/{k}", value.detach()));

    private void Write(string name, Dictionary<string, Tensor> tensors)
        => TorchFileWriter.Write(_folder.In(name), new TorchDictionary(tensors));

    private void ShouldPass(params string[] quantities)
    {
        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, "verify", ".", "--strict");

        result.Code.Should().Be(0, result.All);
        foreach (string quantity in quantities)
        {
            result.Output.Should().MatchRegex($" {quantity} .* pass\n");
        }
    }
}

using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary>Trainings in IMTA's two phases, as a user runs them.</summary>
public sealed class TwoPhaseTrainTests : IDisposable
{
    private static readonly string[] Imta =
    [
        "--set", "meta.enabled=false", "--set", "modifiers.ge.enabled=true", "--set", "modifiers.isc.enabled=true", "--set",
        "loss.ofa.enabled=true",
    ];

    private static readonly string[] TwoPhases = [.. Imta, "--set", "phase2.epochs=2", "--set", "phase2.rate=0.05"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Phase_two_trains_new_layers_on_the_frozen_network()
    {
        ImtaProcess.Result result = Train("run", TwoPhases);

        result.Code.Should().Be(0, result.All);
        result.Error.Should().BeEmpty();
        result.Output.Should()
            .Contain("plain training + GE + ISC + OFA, two phases").And.Contain(
                "phase II: the network is frozen, ").And.Contain("epoch 4/4");
        EpochRow[] epochs = Read<EpochRow>("run", "epochs.csv");
        epochs.Select(row => (row.Epoch, row.Phase, row.Exit)).Should()
            .Equal((1, 1, 1), (1, 1, 2), (2, 1, 1), (2, 1, 2), (3, 2, 1), (3, 2, 2), (4, 2, 1), (4, 2, 2));
        epochs.Where(row => row.Phase == 1).Should()
            .OnlyContain(row => row.TrainLoss == row.TrainWeightedLoss, "distillation is in phase II");
        epochs.Where(row => row is { Phase: 2, Exit: 1 }).Should().OnlyContain(row => row.TrainLoss != row.TrainWeightedLoss);
        epochs.Where(row => row is { Phase: 2, Exit: 2 }).Should()
            .OnlyContain(row => row.TrainLoss == row.TrainWeightedLoss, "the last exit learns from labels alone");
        epochs.Select(row => row.Rate).Distinct().Should().Equal([0.1, 0.05, 0.025], (rate, expected) => Math.Abs(rate - expected) < 1e-12);
        ShouldHaveFrozen("run");

        // What it costs is the collaborating network's.
        Train("alone", "--set", "meta.enabled=false", "--set", "train.epochs=1").Code.Should().Be(0);
        CostRow[] own = Read<CostRow>("run", "cost.csv"), plain = Read<CostRow>("alone", "cost.csv");
        (own[0].Macs, own[0].Parameters).Should().Be((plain[0].Macs, plain[0].Parameters));
        own[1].Macs.Should().BeGreaterThan(plain[1].Macs);
    }

    [Fact]
    public void Phase_one_may_be_taken_from_a_run_and_gives_the_same()
    {
        Train("whole", TwoPhases).Code.Should().Be(0);
        Train("first", [.. Imta[..4]]).Code.Should().Be(0); // one phase, with GE alone

        foreach (string source in new[] { "first", "whole", "first/checkpoints/latest.pt", "whole/checkpoints/phase1.pt" })
        {
            ImtaProcess.Result second = Train("second", [.. TwoPhases, "--set", $"phase2.from={source}", "--force"]);

            second.Code.Should().Be(0, second.All);
            second.Output.Should().Contain($"phase II of {source}");
            Read<EpochRow>("second", "epochs.csv").Select(row => (row.Epoch, row.Phase)).Distinct().Should().Equal((1, 2), (2, 2));
            File.ReadAllText(_folder.In("second", "anytime.csv")).Should().Be(File.ReadAllText(_folder.In("whole", "anytime.csv")));
        }
    }

    [Theory]
    [InlineData("phase1.pt")] // while phase II runs
    [InlineData("latest.pt")] // while phase I does
    public void A_run_that_is_killed_in_either_phase_ends_with_the_same_tables(string checkpoint)
    {
        string[] longer = [.. TwoPhases, "--set", "data.trainLimit=400"];
        Train("whole", longer).Code.Should().Be(0);
        using (ImtaProcess process = ImtaProcess.Start(_folder.Path, ["train", "--out", "broken", .. ImtaProcess.Tiny, .. longer]))
        {
            process.WaitUntil(() => File.Exists(_folder.In("broken", "checkpoints", checkpoint)));
            process.Kill();
            process.End();
        }

        ImtaProcess.Result resumed = ImtaProcess.Run(_folder.Path, "train", "--resume", "broken");

        resumed.Code.Should().Be(0, resumed.All);
        resumed.Output.Should().Contain("resuming after epoch");
        foreach (string table in new[] { "epochs.csv", "anytime.csv", "cost.csv", "weights/epoch-0002.csv", "weights/epoch-0004.csv" })
        {
            File.ReadAllText(_folder.In("broken", table)).Should().Be(File.ReadAllText(_folder.In("whole", table)), table);
        }
    }

    [Fact]
    public void Learned_weights_on_a_ranet_go_through_both_phases()
    {
        ImtaProcess.Result result = Train(
            "run", [.. TwoPhases, "--set", "meta.enabled=true", "--set", "model.backbone=ranet", .. SmallRanet]);

        result.Code.Should().Be(0, result.All);
        result.Output.Should().Contain("learned sample weights + GE + ISC + OFA, two phases, RANet with 3 exits");
        Read<EpochRow>("run", "epochs.csv").Should().HaveCount(12).And.OnlyContain(row => row.MetaLoss > 0 && row.WeightStd > 0);
    }

    private static string[] SmallRanet =>
    [
        "--set", "model.ranet.blocks=1", "--set", "model.ranet.blockStep=1", "--set", "model.ranet.step=1",
        "--set", "model.ranet.channels=4", "--set", "model.ranet.growth=4",
    ];

    [Theory]
    [InlineData("phase2.from: nowhere does not exist", "phase2.from=nowhere")]
    [InlineData("has no checkpoints/phase1.pt or latest.pt", "phase2.from=empty")]
    [InlineData("is not a readable checkpoint", "phase2.from=first/config.yaml")]
    [
        InlineData(
            "has a different architecture (model.msdnet, data.dataset, data.classes or data.side differ)", "phase2.from=first",
            "model.msdnet.growth=3")
    ]
    [
        InlineData(
            "was trained on different images (seed, data.validation, data.trainLimit, data.imbalance or held-out meta data differ)",
            "phase2.from=first", "seed=9")
    ]
    [InlineData("was trained with Inline Subnetwork Collaboration in a single phase", "phase2.from=collaborating")]
    [InlineData("was trained with boosting, whose exits only add to each other", "phase2.from=boosted")]
    [InlineData("is already from phase II", "phase2.from=second/checkpoints/latest.pt")]
    public void A_source_that_does_not_fit_is_one_line(string message, params string[] settings)
    {
        Directory.CreateDirectory(_folder.In("empty"));
        Train("first", "--set", "meta.enabled=false", "--set", "train.epochs=1").Code.Should().Be(0);
        if (message.Contains("Collaboration", StringComparison.Ordinal))
        {
            Train("collaborating", [.. Imta, "--set", "train.epochs=1"]).Code.Should().Be(0);
        }
        else if (message.Contains("boosting", StringComparison.Ordinal))
        {
            string[] boosted = ["--set", "meta.enabled=false", "--set", "train.epochs=1", "--set", "modifiers.boosting.enabled=true"];
            Train("boosted", boosted).Output.Should().Contain("plain training + boosting");
        }
        else if (message.Contains("already", StringComparison.Ordinal))
        {
            Train("second", [.. TwoPhases, "--set", "phase2.from=first"]).Code.Should().Be(0);
        }

        ImtaProcess.Result result = Train("run", [.. TwoPhases, .. settings.SelectMany(setting => new[] { "--set", setting })]);

        result.Code.Should().Be(2, result.All);
        result.Output.Should().BeEmpty();
        result.Error.TrimEnd().Split('\n').Should().ContainSingle().Which.Should().Contain(message);
        Directory.Exists(_folder.In("run")).Should().BeFalse();
    }

    private ImtaProcess.Result Train(string run, params string[] arguments)
        => ImtaProcess.Run(_folder.Path, ["train", "--out", run, .. ImtaProcess.Tiny, .. arguments]);

    /// <summary>All that phase I left is in the last checkpoint, bit for bit, its batch norm included.</summary>
    private void ShouldHaveFrozen(string run)
    {
        using DisposeScope scope = NewDisposeScope();
        Dictionary<string, Tensor> first = State("phase1.pt"), last = State("latest.pt");

        first.Should().NotBeEmpty();
        first.Should().OnlyContain(entry => last["net." + entry.Key].eq(entry.Value).all().item<bool>());
        last.Keys.Where(name => !name.StartsWith("net.", StringComparison.Ordinal)).Should()
            .Contain(["classifier.1.weight", "isc_modules.0.0.weight"]);

        Dictionary<string, Tensor> State(string checkpoint)
            => TorchFileReader.Read(_folder.In(run, "checkpoints", checkpoint)).Dictionary("state_dict").Tensors();
    }

    private T[] Read<T>(string run, string file) => _folder.Read<T>(run, file);
}

using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary>Trainings of the backbone first and of all exits jointly then, as a user runs them.</summary>
public sealed class MixedRegimeTrainTests : IDisposable
{
    private static readonly string[] Mixed =
    [
        "--set", "phase2.regime=mixed", "--set", "phase2.epochs=2", "--set", "phase2.rate=0.05",
    ];

    private static readonly string[] Joint =
    [
        .. Mixed, "--set", "modifiers.ge.enabled=true", "--set", "loss.ofa.enabled=true",
    ];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_last_exit_trains_the_backbone_and_then_all_exits_train_all_of_it_by_the_runs_own_settings()
    {
        string output = Train("run", Joint).Output;

        output.Should().Contain("plain training + last, two phases (mixed)").And.MatchRegex(
            "phase II: all [0-9,]+ parameters will be trained by all exits in epochs 3 to 4: learned sample weights [+] GE [+] OFA\n");
        EpochRow[] rows = _folder.Read<EpochRow>("run", "epochs.csv");
        rows.Select(row => (row.Epoch, row.Phase, row.Exit)).Should()
            .Equal((1, 1, 1), (1, 1, 2), (2, 1, 1), (2, 1, 2), (3, 2, 1), (3, 2, 2), (4, 2, 1), (4, 2, 2));
        rows.Should().OnlyContain(row => (row.MetaLoss > 0) == (row.Phase == 2) && (row.WeightStd > 0) == (row.Phase == 2));
        ShouldHaveTrained("phase1.pt", firstHead: false);
        ShouldHaveTrained("latest.pt", firstHead: true);

        _folder.Run(0, "eval", "run", "--out", "again");
        File.ReadAllText(_folder.In("again", "anytime.csv")).Should().Be(File.ReadAllText(_folder.In("run", "anytime.csv")));
        _folder.Run(0, "report", "run", "--out", "report.html");
        foreach (string source in new[] { "run", "run/checkpoints/phase1.pt" })
        {
            Train("second", [.. Joint, "--set", $"phase2.from={source}", "--force"]).Output.Should()
                .Contain($"learned sample weights + GE + OFA, phase II of {source} (mixed)");
            File.ReadAllText(_folder.In("second", "anytime.csv")).Should().Be(File.ReadAllText(_folder.In("run", "anytime.csv")));
        }
    }

    [Theory]
    [InlineData("phase1.pt")] // while phase II runs
    [InlineData("latest.pt")] // while phase I does
    public void A_run_that_is_killed_in_either_phase_ends_with_the_same_tables(string checkpoint)
    {
        string[] longer = [.. Joint, "--set", "data.trainLimit=400"];
        Train("whole", longer);
        using (ImtaProcess process = ImtaProcess.Start(_folder.Path, ["train", "--out", "broken", .. ImtaProcess.Tiny, .. longer]))
        {
            process.WaitUntil(() => File.Exists(_folder.In("broken", "checkpoints", checkpoint)));
            process.Kill();
            process.End();
        }

        _folder.Run(0, "train", "--resume", "broken").Output.Should().Contain("resuming after epoch");

        RunFiles.Tables(_folder.In("broken")).Should().Equal(RunFiles.Tables(_folder.In("whole")));
    }

    [Fact]
    public void Boosted_exits_join_in_phase_two_also_in_other_formats()
    {
        string[] boosted = [.. Mixed, "--set", "meta.enabled=false", "--set", "modifiers.boosting.enabled=true"];
        Train("run", boosted).Output.Should().Contain(": plain training + boosting\n");

        foreach (string file in new[] { "run.pth.tar", "run.safetensors" })
        {
            _folder.Run(0, "convert", "run", file);
            _folder.Run(0, "eval", file, "--config", "run/config.yaml", "--out", "again", "--force");
            File.ReadAllText(_folder.In("again", "anytime.csv")).Should().Be(File.ReadAllText(_folder.In("run", "anytime.csv")));
        }
    }

    private ImtaProcess.Result Train(string run, params string[] arguments)
        => _folder.Run(0, ["train", "--out", run, .. ImtaProcess.Tiny, .. arguments]);

    /// <summary>Of the heads, the last; that of the first exit or not. Each phase has an optimiser of its own.</summary>
    private void ShouldHaveTrained(string checkpoint, bool firstHead)
    {
        using DisposeScope scope = NewDisposeScope();
        TorchDictionary content = TorchFileReader.Read(_folder.In("run", "checkpoints", checkpoint));
        string[] moved = [.. content.Dictionary("optimizer").Dictionary("momentum_buffer").Tensors().Keys];
        string[] all = [.. content.Dictionary("state_dict").Tensors().Keys];

        moved.Any(name => name.StartsWith("classifier.0.", StringComparison.Ordinal)).Should().Be(firstHead);
        moved.Should().Contain(name => name.StartsWith("classifier.1.", StringComparison.Ordinal));
        all.Should().NotContain(name => name.StartsWith("net.", StringComparison.Ordinal));
    }
}

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary>Runs by Meta-GF, whose epochs have a pass for each exit and one more.</summary>
public sealed class TrainMetaGfTests : IDisposable
{
    private static readonly string[] MetaGf =
    [
        .. ImtaProcess.Tiny, "--set", "meta.enabled=false", "--set", "modifiers.metaGf.enabled=true", "--set", "model.msdnet.blocks=2",
        "--set", "train.rate=0.02",
    ];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("preset=paper")]
    [InlineData("preset=published")]
    public void A_run_that_is_stopped_within_an_epoch_ends_with_the_same_tables(string setting)
    {
        string[] arguments = [.. MetaGf, "--set", "train.epochs=3", "--set", "data.trainLimit=300", "--set", setting];
        RunFiles.StoppedAndResumed(_folder, arguments).Should().Contain("plain training + Meta-GF, MSDNet");
    }

    [Fact]
    public void Batches_that_may_be_skipped_train_the_same_and_the_tables_are_those_of_the_last_pass()
    {
        string[] arguments = [.. MetaGf, "--set", "train.epochs=2"];
        _folder.Run(0, ["train", "--out", "plain", .. arguments]);
        _folder.Run(0, ["train", "--out", "guarded", .. arguments, "--set", "run.skipNonFinite=true"]);

        File.ReadAllText(_folder.In("guarded", "epochs.csv")).Should().Be(File.ReadAllText(_folder.In("plain", "epochs.csv")));
        IReadOnlyList<EpochRow> rows = _folder.Read<EpochRow>("plain", "epochs.csv");
        rows.Should().HaveCount(4).And.OnlyContain(row => row.MetaLoss > 0);
        rows.Select(row => row.WeightMean).Should().Equal([0.01, 1, 0.085, 1], (a, b) => Math.Abs(a - b) < 1e-6); // tau
    }

    [Theory]
    [InlineData("meta.enabled=true", "set meta.enabled=false")]
    [InlineData("modifiers.combination=pcgrad", "use sum")]
    [InlineData("phase2.epochs=1", "set it to 0")]
    public void What_does_not_go_with_it_is_refused(string setting, string advice)
    {
        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, ["train", "--out", "run", .. MetaGf, "--set", setting]);

        result.Code.Should().Be(2, result.All);
        result.Error.TrimEnd().Split('\n').Should().ContainSingle().Which.Should().Contain("modifiers.metaGf").And.Contain(advice);
        Directory.Exists(_folder.In("run")).Should().BeFalse();
    }
}

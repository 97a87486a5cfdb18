namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary>Class weights that hold late in a training: <c>loss.classWeights.after</c>.</summary>
public sealed class DeferredWeightsTrainTests : IDisposable
{
    private static readonly string[] Imbalanced =
    [
        .. ImtaProcess.Tiny, "--set", "data.imbalance.type=exponential", "--set", "data.imbalance.factor=4", "--set", "data.trainLimit=200",
        "--set", "train.epochs=4",
    ];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("meta.enabled=false")]
    [InlineData("meta.enabled=true")]
    [InlineData("modifiers.metaGf.enabled=true", "meta.enabled=false")]
    public void They_change_nothing_before_and_all_after(params string[] settings)
    {
        string[] more = [.. Imbalanced, .. settings.SelectMany(setting => new[] { "--set", setting })];
        string[] plain = Epochs("plain", more), always = Epochs("always", [.. more, .. Weights(0)]);

        string[] deferred = Epochs("deferred", [.. more, .. Weights(0.5)]);

        const int Rows = 4; // two epochs of two exits
        deferred[..(1 + Rows)].Should().Equal(plain[..(1 + Rows)]);
        deferred[(1 + Rows)..].Should().NotIntersectWith(plain);
        always[1..].Should().NotIntersectWith(plain);
    }

    [Fact]
    public void A_run_that_is_stopped_goes_on_with_them()
    {
        string[] settings = [.. Imbalanced, .. Weights(0.5), "--set", "meta.enabled=false", "--set", "train.epochs=20"];
        string[] whole = Epochs("whole", settings);
        RunFiles.StopAfterAnEpoch(_folder, "stopped", settings);

        _folder.Run(0, "train", "--resume", "stopped");

        File.ReadAllLines(_folder.In("stopped", "epochs.csv")).Should().Equal(whole);
    }

    private static string[] Weights(double after) =>
    [
        "--set", "loss.classWeights.type=inverseFrequency", "--set", FormattableString.Invariant($"loss.classWeights.after={after}"),
    ];

    private string[] Epochs(string run, string[] settings)
    {
        _folder.Run(0, ["train", "--out", run, .. settings]);
        return File.ReadAllLines(_folder.In(run, "epochs.csv"));
    }
}

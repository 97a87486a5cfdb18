namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary>A network with finite weights and NaN logits stops whatever predicts, in one line: no image is counted as class 0.</summary>
public sealed class NonFiniteLogitsTests(TrainedRun trained) : IClassFixture<TrainedRun>
{
    private const string All = "imta: the network's logits are NaN or infinite for ([0-9]+) of \\1 images at exit 1: .*\n?$";

    [Fact]
    public void Evaluation_calibration_and_inference_stop_and_write_nothing()
    {
        trained.Run(0, "calibrate", "run", "--shares", "1,1,1", "--out", "thirds.json");
        trained.Change("spoilt.pt", TrainedRun.Spoil);
        string[] data = ["--data", trained.Cifar.Root];

        trained.Refusal(["eval", "spoilt.pt", "--out", "tables", "--latency", .. data]).Should().MatchRegex(All);
        trained.Refusal(["calibrate", "spoilt.pt", "--macs", "3M", "--out", "policy.json", .. data]).Should().MatchRegex(All);
        trained.Refusal(["infer", "spoilt.pt", "--policy", "thirds.json", "--out", "answers.csv", .. data]).Should().MatchRegex(All);
        Directory.GetFiles(trained.In("tables")).Should().BeEmpty();
        File.Exists(trained.In("policy.json")).Should().BeFalse();
        File.Exists(trained.In("answers.csv")).Should().BeFalse();
    }

    [Theory]
    [InlineData(500)] // images of validation
    [InlineData(0)] // none: the test stops
    public void Training_stops_at_its_validation_and_at_its_test(int held)
    {
        using var folder = new TemporaryFolder();
        string[] settings = ["--set", "train.epochs=2", "--set", "data.trainLimit=200", "--set", $"data.validation={held}"];
        string epochs = folder.In("run", "epochs.csv");
        RunFiles.BreakOff(
            folder,
            "run",
            () => ImtaProcess.Start(folder.Path, ["train", "--out", "run", .. ImtaProcess.Tiny, .. settings]),
            process =>
            {
                process.WaitUntil(() => File.Exists(epochs) && File.ReadLines(epochs).Count() > 1);
                process.Kill();
            },
            _ => RunFiles.Latest(folder.In("run")) is { Epochs: < 2 });

        string latest = folder.In("run", "checkpoints", "latest.pt");
        TrainedRun.Change(latest, latest, TrainedRun.Spoil);

        folder.Run(2, "train", "--resume", "run").Error.Should().MatchRegex(All);

        File.Exists(folder.In("run", "anytime.csv")).Should().BeFalse();
    }
}

using Imta.MetaWeight.Backbones.Layers;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary><c>data.validation=0</c>: all of the training set is trained on, as long-tailed CIFAR is published.</summary>
public sealed class TrainWithoutValidationTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void What_needs_validation_images_is_left_out_and_the_rest_is_there()
    {
        string[] settings = ["--set", "data.validation=0", "--set", "data.imbalance.type=step", "--set", "data.imbalance.factor=4"];
        _folder.Run(0, ["train", "--out", "run", .. ImtaProcess.Tiny, .. settings]).Output.Should()
            .Contain("50 training, 0 validation and 40 test images").And.Contain(
                "imbalanced classes: 8 training images in the largest, 2 in the smallest").And.NotContain(
                "validation accuracy");

        Directory.GetFiles(_folder.In("run")).Select(Path.GetFileName).Should().BeEquivalentTo(
            "config.yaml", "environment.json", "cost.csv", "log.txt", "epochs.csv", "timing.csv", "anytime.csv", "exits.csv",
            "classes.csv", "correlation.csv", "predictions.csv");
        Directory.GetFiles(_folder.In("run", "checkpoints")).Select(Path.GetFileName).Should().BeEquivalentTo("latest.pt", "previous.pt");
        _folder.Read<EpochRow>("run", "epochs.csv").Should()
            .OnlyContain(row => row.ValidationAccuracy == null && row.ValidationLoss == null && row.TrainLoss > 0);
        _folder.Read<ExitRow>("run", "exits.csv").Should()
            .OnlyContain(row => row.Share == (row.Exit == 2 ? 1 : 0), "nobody leaves early without thresholds");
        _folder.Read<PredictionRow>("run", "predictions.csv").Should().OnlyContain(row => row.Split == "test");
        _folder.Read<ClassRow>("run", "classes.csv").Where(row => row.Exit == 1).Select(row => row.TrainImages).Should()
            .Equal(8, 8, 8, 8, 8, 2, 2, 2, 2, 2);
        _folder.Read<ClassRow>("run", "classes.csv").Where(row => row.Exit == 1).GroupBy(row => row.Group).Select(group => group.Key)
            .Should()
            .Equal("head", "medium", "tail");

        string tables = File.ReadAllText(_folder.In("run", "classes.csv"));
        _folder.Run(0, "eval", "run").Error.Should().BeEmpty();
        File.ReadAllText(_folder.In("run", "classes.csv")).Should().Be(tables);
        _folder.Run(2, "calibrate", "run", "--shares", "1,1").Error.Should().Be("imta: the run has no validation images "
            + "(data.validation is 0) to calibrate thresholds on; train with data.validation > 0\n");
        _folder.Run(0, "report", "run", "--out", "report.html");
    }

    [Fact]
    public void Too_large_a_factor_is_refused_with_what_to_lower()
        => _folder.Run(
            2,
            [
                "train", "--out", "run", .. ImtaProcess.Tiny, "--set", "data.imbalance.type=exponential", "--set",
                "data.imbalance.factor=200"
            ]).Error.Should()
            .Contain("classes have no training image").And.Contain("lower data.imbalance.factor, or raise data.trainLimit");
}

using System.Globalization;
using System.Text.RegularExpressions;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Tests.Experiments.Data;

namespace Imta.MetaWeight.Tests.Experiments.Training.Checks;

/// <summary>The checks as a user meets them: one line each, exit code 2, nothing written, and <c>--allow</c>.</summary>
public sealed class TrainChecksTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("splits", "have no test image", "data.testLimit to at least 10", "data.testLimit=7")]
    [InlineData("shares", "are allocated to exit 2 of 3", "train.batch to 8 or more", "model.msdnet.blocks=3", "train.batch=6")]
    [
        InlineData(
            "disk", "the run's files need about", "export.weightsEvery", "train.epochs=1000000", "export.weightsEvery=1",
            "run.checkpointEvery=1", "data.trainLimit=4000")
    ]
    public void A_stop_is_a_line_with_the_fix_and_the_override_and_nothing_is_written(
        string check, string what, string fix, params string[] settings)
    {
        ImtaProcess.Result result = Train(settings);

        result.Code.Should().Be(2, result.All);
        result.Output.Should().BeEmpty();
        Lines(result.Error).Should().OnlyContain(line => line.StartsWith("imta: "));
        Lines(result.Error).Where(line => !line.StartsWith("imta: warning: ", StringComparison.Ordinal)).Should().ContainSingle()
            .Which.Should()
                .StartWith($"imta: {check}: ").And.Contain(what).And.Contain(fix).And.EndWith($"; or proceed anyway with --allow {check}");
        Directory.EnumerateFileSystemEntries(_folder.Path).Should().BeEmpty("nothing half-written");
    }

    [Fact]
    public void Test_images_that_are_trained_on_stop()
    {
        // The test file is a training file.
        using var files = new DataCifarFolder(CifarFormat.Cifar10, perFile: 40);
        File.Copy(files.PathOf("data_batch_1.bin"), files.PathOf("test_batch.bin"), overwrite: true);

        ImtaProcess.Result result = Train(["data.dataset=cifar10", $"data.root={files.Root}"], "--set", "data.trainLimit=null");

        result.Code.Should().Be(2, result.All);
        result.Error.Should().Contain("imta: overlap: 40 of 40 test images are also used for learning");
    }

    [Fact]
    public void An_allowed_stop_is_a_warning_on_the_screen_and_in_the_log()
    {
        ImtaProcess.Result result = Train(["model.msdnet.blocks=3", "train.batch=6", "train.epochs=1"], "--allow", "disk,shares");

        result.Code.Should().Be(0, result.All);
        result.Error.Should().BeEmpty();
        Lines(result.Output).Should()
            .Contain(line => line.StartsWith("warning: shares: none of the 3 meta samples")).And.Contain(
                line => line.StartsWith("needs about "));
        File.ReadAllText(_folder.In("run", "log.txt")).Should().Contain("warning: shares: ").And.Contain("needs about ");
    }

    [Fact]
    public void Another_check_that_is_allowed_does_not_help()
        => Train(["model.msdnet.blocks=3", "train.batch=6"], "--allow", "disk", "--allow", "memory").Code.Should().Be(2);

    [Fact]
    public void An_unknown_check_is_refused_with_the_names()
    {
        ImtaProcess.Result result = Train([], "--allow", "shares,disc");

        result.Code.Should().Be(2, result.All);
        result.Error.Should()
            .Be("imta: --allow disc: unknown check; expected one of splits, overlap, oddBatch, shares, disk, memory\n");
    }

    [Fact]
    public void Warnings_do_not_stop_and_resuming_takes_allow_too()
    {
        ImtaProcess.Result result = Train(["train.batch=15", "train.epochs=1"]);

        result.Code.Should().Be(0, result.All);
        Lines(result.Output).Should().Contain(line => line.StartsWith("warning: oddBatch: train.batch 15 is odd"));
        ImtaProcess.Result resumed = ImtaProcess.Run(_folder.Path, "train", "--resume", "run", "--allow", "memory");
        resumed.Code.Should().Be(0, resumed.All);
        resumed.Output.Should().Contain("needs about ").And.NotContain("oddBatch");
    }

    [Theory]
    [InlineData("meta.enabled=true", "train.batch=256", "data.validation=2500")] // a meta step takes the most
    [InlineData("meta.enabled=false", "train.batch=128", "data.validation=2500")] // a plain step
    [InlineData("meta.enabled=true", "train.batch=16", "data.validation=43000")] // evaluation
    public void The_estimates_are_near_what_a_run_takes(params string[] settings)
    {
        string[] network =
        [
            "model.msdnet.blocks=3", "model.msdnet.channels=8", "model.msdnet.growth=4", "data.trainLimit=300", "data.testLimit=10",
            "train.epochs=2", "export.weightsEvery=1",
        ];

        // A process of its own, for it is its peak that is estimated.
        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, [], Arguments([.. network, .. settings]));

        result.Code.Should().Be(0, result.All);
        Match needs = Regex.Match(
            result.Output, "^needs about ([\\d.]+) MiB of memory and ([\\d.]+) MiB of disk space$", RegexOptions.Multiline);
        double peak = _folder.Read<TimingRow>("run", "timing.csv").Max(row => row.PeakMemoryMib);
        Number(needs.Groups[1]).Should().BeInRange(0.75 * peak, 1.25 * peak, "the estimate of {0} is within 25 % of the peak", needs.Value);
        double written = Directory.EnumerateFiles(_folder.In("run"), "*", SearchOption.AllDirectories)
            .Sum(file => new FileInfo(file).Length) / (double)ByteSize.Mib;
        // one more is there while it is written
        written += new FileInfo(_folder.In("run", "checkpoints", "latest.pt")).Length / (double)ByteSize.Mib;
        Number(needs.Groups[2]).Should().BeInRange(0.9 * written, 1.25 * written);
    }

    private static double Number(Group group) => double.Parse(group.Value, CultureInfo.InvariantCulture);

    private static string[] Lines(string text) => text.Split('\n', StringSplitOptions.RemoveEmptyEntries);

    private ImtaProcess.Result Train(string[] settings, params string[] more)
        => ImtaProcess.Run(_folder.Path, [.. Arguments(settings), .. more]);

    private static string[] Arguments(string[] settings)
        => ["train", "--out", "run", .. ImtaProcess.Tiny, .. settings.SelectMany(setting => new[] { "--set", setting })];
}

using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Training.Checks;

namespace Imta.MetaWeight.Tests.Experiments.Training.Checks;

public sealed class DiskCheckTests
{
    [Theory]
    [InlineData(100, 200, null)]
    [InlineData(101, 201, Severity.Warning)]
    [InlineData(100, 100, Severity.Warning)]
    [InlineData(100, 99, Severity.Error)]
    [InlineData(100, 0, Severity.Error)]
    internal void It_stops_where_a_run_does_not_fit_and_warns_below_twice_its_size(long need, long free, Severity? severity)
        => DiskCheck.Findings(need * ByteSize.Mib, free * ByteSize.Mib, weightsEvery: 0).Select(finding => (Severity?)finding.Severity)
            .Should()
            .Equal(severity is null ? [] : [severity]);

    [Theory]
    [InlineData(0, "free some space, or use a folder on another drive with --out")]
    [
        InlineData(
            5,
            "free some space, or use a folder on another drive with --out, or set export.weightsEvery (now 5) to a larger value or to 0")
    ]
    public void The_line_has_both_sizes_and_what_would_make_room(int weightsEvery, string fix)
    {
        CheckFinding finding = DiskCheck.Findings(3 * ByteSize.Gib, 2000 * ByteSize.Mib, weightsEvery).Single();

        finding.Problem.Should().Be("the run's files need about 3.0 GiB, but the drive has 2.0 GiB free");
        finding.Fix.Should().Be(fix);
    }

    [Theory]
    [InlineData(0, 10, 0, 4, 1)]
    [InlineData(0, 10, 1, 4, 10)]
    [InlineData(0, 10, 3, 4, 4)] // epochs 3, 6, 9 and the last
    [InlineData(0, 9, 3, 4, 3)]
    [InlineData(0, 10, 20, 4, 1)]
    [InlineData(6, 10, 3, 1, 2)] // epochs 9 and the last
    [InlineData(9, 10, 3, 1, 1)]
    [InlineData(10, 10, 3, 0, 0)]
    public void What_is_yet_to_be_written_counts(int done, int epochs, int weightsEvery, int checkpoints, int weightFiles)
    {
        var need = new DiskEstimate(Checkpoint: 1_000_000_000, WeightsFile: 1_000_000, Exits: 3);

        long bytes = need.After(done, epochs, weightsEvery);

        (bytes / 1_000_000_000).Should().Be(checkpoints);
        (bytes % 1_000_000_000 / 1_000_000).Should().Be(weightFiles);
    }
}

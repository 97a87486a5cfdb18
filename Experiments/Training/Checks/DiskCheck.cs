namespace Imta.MetaWeight.Experiments.Training.Checks;

/// <summary>Whether the run's files fit on the drive.</summary>
internal static class DiskCheck
{
    /// <param name="need">Bytes that the run has yet to write.</param>
    /// <param name="free">Free bytes of the run folder's drive.</param>
    /// <param name="weightsEvery"><c>export.weightsEvery</c>.</param>
    public static IEnumerable<Finding> Findings(long need, long free, int weightsEvery)
    {
        string less = weightsEvery == 0 ? "" : FormattableString.Invariant($", or set export.weightsEvery (it is {weightsEvery}) higher or to 0");
        if (need > free / 2)
        {
            yield return new Finding(
                CheckName.Disk,
                need > free ? Severity.Stop : Severity.Warning,
                $"the run's files take about {ByteSize.Text(need)}, and the drive of its folder has {ByteSize.Text(free)} free",
                need > free ? "the run would fail when the drive is full" : "other programs may fill the rest before the run ends",
                $"free some, or take a folder on another drive by --out{less}");
        }
    }
}

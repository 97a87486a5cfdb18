namespace Imta.MetaWeight.Experiments.Training.Checks;

/// <summary>Checks that the run's files fit on the drive.</summary>
internal static class DiskCheck
{
    /// <param name="need">Bytes that the run will still write.</param>
    /// <param name="free">Free bytes of the run folder's drive.</param>
    /// <param name="weightsEvery"><c>export.weightsEvery</c>.</param>
    public static IEnumerable<CheckFinding> Findings(long need, long free, int weightsEvery)
    {
        string less = weightsEvery == 0
            ? ""
            : FormattableString.Invariant($", or set export.weightsEvery (now {weightsEvery}) to a larger value or to 0");
        if (need > free / 2)
        {
            yield return new CheckFinding(
                CheckName.Disk,
                need > free ? Severity.Error : Severity.Warning,
                $"the run's files need about {ByteSize.Text(need)}, but the drive has {ByteSize.Text(free)} free",
                need > free ? "the run would fail when the drive is full" : "other programs may use up the rest before the run ends",
                $"free some space, or use a folder on another drive with --out{less}");
        }
    }
}

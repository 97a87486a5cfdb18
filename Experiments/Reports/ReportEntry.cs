namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>An entry of a report, drawn as one series: a run, or a sweep variant with the runs of its seeds.</summary>
/// <param name="Name">A unique name.</param>
/// <param name="Folder">The run or sweep folder, as given by the user.</param>
/// <param name="Runs">At least one.</param>
internal sealed record ReportEntry(string Name, string Folder, IReadOnlyList<ReportedRun> Runs)
{
    /// <summary>Its index among all entries, which determines its colour.</summary>
    public int Index { get; init; }

    public Colour Colour => new("run", Index, 0);

    /// <summary>The representative run where no mean is shown.</summary>
    public ReportedRun First => Runs[0];
}

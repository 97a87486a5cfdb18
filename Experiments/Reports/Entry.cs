namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>What is one line of a chart: a run, or a sweep's variant with the runs of its seeds.</summary>
/// <param name="Name">Unlike the others'.</param>
/// <param name="Folder">Of the run or of the sweep, as the user gave it.</param>
/// <param name="Runs">At least one.</param>
internal sealed record Entry(string Name, string Folder, IReadOnlyList<ReportedRun> Runs)
{
    /// <summary>Its place among all, which chooses its colour.</summary>
    public int Index { get; init; }

    public Colour Colour => new("run", Index, 0);

    /// <summary>The run that stands for all where there is no mean.</summary>
    public ReportedRun First => Runs[0];
}

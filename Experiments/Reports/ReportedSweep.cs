using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Sweeps;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>A sweep's own tables.</summary>
/// <param name="folder">Its folder.</param>
internal sealed class ReportedSweep(SweepFolder folder)
{
    /// <summary>The folder as given by the user.</summary>
    public string Folder => folder.Path;

    public string Name => Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(Folder)));

    public IReadOnlyList<SweepRunRow> Runs { get; } = CsvTable.Read<SweepRunRow>(folder.Runs);

    public IReadOnlyList<SummaryRow> Summary { get; } = CsvTable.Read<SummaryRow>(folder.Summary);

    public IReadOnlyList<ComparisonRow> Comparison { get; } = CsvTable.Read<ComparisonRow>(folder.Comparison);

    /// <summary>Its variants, each with its finished runs or, while there are none, those in progress.</summary>
    public IEnumerable<ReportEntry> Variants(RunReader reader) =>
        from variant in Runs.GroupBy(row => row.Variant)
        let done = variant.Where(row => row.State == SweepFolder.Done).Select(FinishedFolder).ToArray()
        let started = variant.Where(row => row.State == SweepFolder.Waiting).Select(row => RunFolder.Find(PathOf(row))).OfType<RunFolder>()
        let runs = (done.Length > 0 ? done : started).Select(reader.Read).ToArray()
        where runs.Length > 0
        select new ReportEntry(variant.Key, Folder, runs);

    private RunFolder FinishedFolder(SweepRunRow row) => RunFolder.Find(PathOf(row))
        ?? throw new UsageException($"{PathOf(row)} contains no run although {folder.Runs} lists it as done; run imta sweep again");

    private string PathOf(SweepRunRow row) => Path.Combine(Folder, row.Folder);
}

using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Sweeps;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>A sweep's own tables.</summary>
/// <param name="folder">Its folder.</param>
internal sealed class ReportedSweep(SweepFolder folder)
{
    /// <summary>As given by the user.</summary>
    public string Folder => folder.Path;

    public string Name => Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(Folder)));

    public IReadOnlyList<SweepRunRow> Runs { get; } = CsvTable.Read<SweepRunRow>(folder.Runs);

    public IReadOnlyList<SummaryRow> Summary { get; } = CsvTable.Read<SummaryRow>(folder.Summary);

    public IReadOnlyList<ComparisonRow> Comparison { get; } = CsvTable.Read<ComparisonRow>(folder.Comparison);

    /// <summary>Its variants with at least one completed run.</summary>
    public IEnumerable<ReportEntry> Variants() => Runs.Where(row => row.State == SweepFolder.Done).GroupBy(row => row.Variant)
        .Select(rows => new ReportEntry(rows.Key, Folder, [.. rows.Select(row => new ReportedRun(FolderOf(row)))]));

    private RunFolder FolderOf(SweepRunRow row)
    {
        string run = Path.Combine(Folder, row.Folder);
        return RunFolder.Find(run)
            ?? throw new UsageException($"{run} contains no run although {folder.Runs} lists it as done; run imta sweep again");
    }
}

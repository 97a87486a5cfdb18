using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Sweeps;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>What is one line of a chart: a run, or a sweep's variant with the runs of its seeds.</summary>
/// <param name="Name">Unlike the others'.</param>
/// <param name="Index">Its place, which chooses its colour.</param>
/// <param name="Runs">At least one.</param>
/// <param name="OfSweep">Whether it is a variant.</param>
internal sealed record Entry(string Name, int Index, IReadOnlyList<ReportedRun> Runs, bool OfSweep)
{
    public Colour Colour => new("run", Index, 0);

    /// <summary>The run that stands for all where there is no mean.</summary>
    public ReportedRun First => Runs[0];
}

/// <summary>A sweep's own tables.</summary>
/// <param name="folder">Its folder.</param>
internal sealed class ReportedSweep(SweepFolder folder)
{
    /// <summary>As the user gave it.</summary>
    public string Folder => folder.Path;

    public string Name => Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(Folder)));

    public IReadOnlyList<SweepRunRow> Runs { get; } = SavedTable.Read<SweepRunRow>(folder.Runs);

    public IReadOnlyList<SummaryRow> Summary { get; } = SavedTable.Read<SummaryRow>(folder.Summary);

    public IReadOnlyList<ComparisonRow> Comparison { get; } = SavedTable.Read<ComparisonRow>(folder.Comparison);
}

/// <summary>The folders that a report is of.</summary>
/// <param name="Entries">Runs and variants, in the order given.</param>
/// <param name="Sweeps">In the order given.</param>
internal sealed record ReportSources(IReadOnlyList<Entry> Entries, IReadOnlyList<ReportedSweep> Sweeps)
{
    /// <summary>Reads what tells runs and sweeps; their other tables are read when they are drawn.</summary>
    /// <exception cref="UsageException">A folder is neither, is given twice, or a file in it is damaged.</exception>
    public static ReportSources Read(IReadOnlyList<string> folders)
    {
        var found = new List<(string Name, string Folder, IReadOnlyList<ReportedRun> Runs, bool OfSweep)>();
        var sweeps = new List<ReportedSweep>();
        var seen = new HashSet<string>();
        foreach (string folder in folders)
        {
            if (!seen.Add(Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder))))
            {
                throw new UsageException($"{folder} is given twice; name each run once");
            }

            if (SweepFolder.Is(folder))
            {
                sweeps.Add(new ReportedSweep(new SweepFolder(folder)));
                found.AddRange(Variants(sweeps[^1]).Select(variant => (variant.Name, folder, variant.Runs, true)));
            }
            else
            {
                var run = new ReportedRun(RunFolder.Find(folder) ?? throw Unknown(folder));
                found.Add(($"{run.Name}, seed {run.Seed}", folder, [run], false));
            }
        }

        if (found.Count == 0)
        {
            throw new UsageException($"{folders[0]} has no run that is done; go on with it by imta sweep");
        }

        ILookup<string, string> same = found.ToLookup(entry => entry.Name, entry => entry.Folder);
        return new([.. found.Select((entry, k) => new Entry(same[entry.Name].Skip(1).Any() ? $"{entry.Name} ({entry.Folder})" : entry.Name, k, entry.Runs, entry.OfSweep))], sweeps);
    }

    private static IEnumerable<(string Name, IReadOnlyList<ReportedRun> Runs)> Variants(ReportedSweep sweep)
        => sweep.Runs.Where(row => row.State == SweepFolder.Done).GroupBy(row => row.Variant).Select(rows => (rows.Key, (IReadOnlyList<ReportedRun>)[.. rows.Select(row =>
        {
            string folder = Path.Combine(sweep.Folder, row.Folder);
            return new ReportedRun(RunFolder.Find(folder) ?? throw new UsageException($"{folder} holds no run, though {sweep.Folder}/runs.csv says it is done; run imta sweep again"));
        })]));

    private static UsageException Unknown(string folder) => new(Directory.Exists(folder)
        ? $"{YamlReader.OneLine(folder)} holds neither a run (config.yaml) nor a sweep (sweep.yaml); give the folders of such"
        : $"there is no folder {YamlReader.OneLine(folder)}; give the folders of runs or sweeps");
}

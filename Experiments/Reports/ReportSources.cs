using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Runs;

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
/// <param name="folder">As the user gave it.</param>
internal sealed class ReportedSweep(string folder)
{
    public string Folder => folder;

    public string Name => Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder)));

    public IReadOnlyList<SweepRunRow> Runs { get; } = SavedTable.Read<SweepRunRow>(Path.Combine(folder, RunsFile));

    public IReadOnlyList<SummaryRow> Summary { get; } = SavedTable.Read<SummaryRow>(Path.Combine(folder, "summary.csv"));

    public IReadOnlyList<ComparisonRow> Comparison { get; } = SavedTable.Read<ComparisonRow>(Path.Combine(folder, "comparison.csv"));

    private const string RunsFile = "runs.csv";

    public static bool IsAt(string folder) => File.Exists(Path.Combine(folder, "sweep.yaml")) && File.Exists(Path.Combine(folder, RunsFile));
}

/// <summary>The folders that a report is of.</summary>
/// <param name="Entries">Runs and variants, in the order given.</param>
/// <param name="Sweeps">In the order given.</param>
internal sealed record ReportSources(IReadOnlyList<Entry> Entries, IReadOnlyList<ReportedSweep> Sweeps)
{
    /// <summary>The state of a sweep's run that has all its tables.</summary>
    private const string Done = "done";

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

            if (ReportedSweep.IsAt(folder))
            {
                sweeps.Add(new ReportedSweep(folder));
                found.AddRange(Variants(sweeps[^1]).Select(variant => (variant.Name, folder, variant.Runs, true)));
            }
            else
            {
                var run = new ReportedRun(RunFolder.Find(folder) ?? throw Unknown(folder));
                found.Add(($"{run.Name}, seed {run.Seed}", folder, [run], false));
            }
        }

        ILookup<string, string> same = found.ToLookup(entry => entry.Name, entry => entry.Folder);
        return new([.. found.Select((entry, k) => new Entry(same[entry.Name].Skip(1).Any() ? $"{entry.Name} ({entry.Folder})" : entry.Name, k, entry.Runs, entry.OfSweep))], sweeps);
    }

    private static IEnumerable<(string Name, IReadOnlyList<ReportedRun> Runs)> Variants(ReportedSweep sweep)
        => sweep.Runs.Where(row => row.State == Done).GroupBy(row => row.Variant).Select(rows => (rows.Key, (IReadOnlyList<ReportedRun>)[.. rows.Select(row =>
        {
            string folder = Path.Combine(sweep.Folder, row.Folder);
            return new ReportedRun(RunFolder.Find(folder) ?? throw new UsageException($"{folder} holds no run, though {sweep.Folder}/runs.csv says it is done; run imta sweep again"));
        })]));

    private static UsageException Unknown(string folder) => new(Directory.Exists(folder)
        ? $"{YamlReader.OneLine(folder)} holds neither a run (config.yaml) nor a sweep (sweep.yaml and runs.csv); give the folders of such"
        : $"there is no folder {YamlReader.OneLine(folder)}; give the folders of runs or sweeps");
}

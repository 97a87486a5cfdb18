using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Sweeps;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>The folders that a report is of.</summary>
/// <param name="Entries">Runs and variants, in the order given.</param>
/// <param name="Sweeps">In the order given.</param>
internal sealed record ReportSources(IReadOnlyList<Entry> Entries, IReadOnlyList<ReportedSweep> Sweeps)
{
    /// <summary>Reads what tells runs and sweeps; their other tables are read when they are drawn.</summary>
    /// <exception cref="UsageException">A folder is neither, is given twice, or a file in it is damaged.</exception>
    public static ReportSources Read(IReadOnlyList<string> folders)
    {
        var entries = new List<Entry>();
        var sweeps = new List<ReportedSweep>();
        var seen = new HashSet<string>();
        foreach (string folder in folders)
        {
            if (!Directory.Exists(folder))
            {
                throw new UsageException($"there is no folder {Terminal.OneLine(folder)}; give the folders of runs or sweeps");
            }

            if (!seen.Add(Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder))))
            {
                throw new UsageException($"{folder} is given twice; name each run once");
            }

            if (SweepFolder.Is(folder))
            {
                sweeps.Add(new ReportedSweep(new SweepFolder(folder)));
                entries.AddRange(sweeps[^1].Variants());
            }
            else
            {
                entries.Add(RunAt(folder));
            }
        }

        return entries.Count == 0
            ? throw new UsageException($"{folders[0]} has no run that is done; go on with it by imta sweep")
            : new ReportSources(ToldApart(entries), sweeps);
    }

    private static Entry RunAt(string folder)
    {
        var run = new ReportedRun(RunFolder.Find(folder)
            ?? throw new UsageException($"{Terminal.OneLine(folder)} holds neither a run (config.yaml) nor a sweep (sweep.yaml); give the folders of such"));
        return new Entry($"{run.Name}, seed {run.Seed}", folder, [run]);
    }

    /// <summary>With their places, and with the folders of those of one name behind it.</summary>
    private static IReadOnlyList<Entry> ToldApart(List<Entry> entries)
    {
        ILookup<string, Entry> named = entries.ToLookup(entry => entry.Name);
        return [.. entries.Select((entry, k) => entry with
        {
            Index = k,
            Name = named[entry.Name].Count() > 1 ? $"{entry.Name} ({entry.Folder})" : entry.Name,
        })];
    }
}

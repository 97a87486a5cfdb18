using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Sweeps;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>The sources of a report: run and sweep folders.</summary>
/// <param name="Entries">Runs and variants, in the order given.</param>
/// <param name="Sweeps">In the order given.</param>
internal sealed record ReportSources(IReadOnlyList<ReportEntry> Entries, IReadOnlyList<ReportedSweep> Sweeps)
{
    /// <summary>Reads what identifies runs and sweeps; other tables are read when needed. A new sweep may have no runs yet.</summary>
    /// <param name="folders">Run and sweep folders.</param>
    /// <param name="reader">Reads the runs.</param>
    /// <exception cref="UsageException">A folder is neither, is given twice, or a file in it is damaged.</exception>
    public static ReportSources Read(IReadOnlyList<string> folders, RunReader reader)
    {
        var entries = new List<ReportEntry>();
        var sweeps = new List<ReportedSweep>();
        var seen = new HashSet<string>();
        foreach (string folder in folders)
        {
            if (!Directory.Exists(folder))
            {
                string problem = File.Exists(folder) ? "is a file" : "does not exist";
                throw new UsageException($"{Terminal.Sanitize(folder)} {problem}; give run or sweep folders");
            }

            if (!seen.Add(Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder))))
            {
                throw new UsageException($"{folder} is given twice; list each run once");
            }

            if (SweepFolder.IsSweep(folder))
            {
                sweeps.Add(new ReportedSweep(new SweepFolder(folder)));
                entries.AddRange(sweeps[^1].Variants(reader));
            }
            else
            {
                entries.Add(RunAt(folder, reader));
            }
        }

        return new ReportSources(WithUniqueNames(entries), sweeps);
    }

    private static ReportEntry RunAt(string folder, RunReader reader)
    {
        ReportedRun run = reader.Read(RunFolder.Find(folder)
            ?? throw new UsageException(
                $"{Terminal.Sanitize(folder)} contains neither a run (config.yaml) nor a sweep (sweep.yaml); give run or sweep folders"));
        return new ReportEntry($"{run.Name}, seed {run.Seed}", folder, [run]);
    }

    /// <summary>Assigns indices, and appends the folder to duplicate names.</summary>
    private static IReadOnlyList<ReportEntry> WithUniqueNames(List<ReportEntry> entries)
    {
        ILookup<string, ReportEntry> named = entries.ToLookup(entry => entry.Name);
        return [.. entries.Select((entry, k) => entry with
        {
            Index = k,
            Name = named[entry.Name].Count() > 1 ? $"{entry.Name} ({entry.Folder})" : entry.Name,
        })];
    }
}

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

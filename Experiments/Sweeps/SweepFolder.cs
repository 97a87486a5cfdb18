using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Sweeps;

/// <summary>The folder of a sweep, and what stands in its tables.</summary>
/// <param name="path">Where.</param>
internal sealed class SweepFolder(string path)
{
    /// <summary>States of a run in <c>runs.csv</c>.</summary>
    public const string Done = "done", Failed = "failed", Waiting = "waiting";

    public string Path => path;

    public string Plan => In("sweep.yaml");

    public string Runs => In("runs.csv");

    public string Summary => In("summary.csv");

    public string Comparison => In("comparison.csv");

    /// <summary>Whether a folder holds a sweep.</summary>
    public static bool Is(string path) => File.Exists(new SweepFolder(path).Plan);

    /// <summary>A run's folder, below the sweep's.</summary>
    public static string Below(SweepRun run) => FormattableString.Invariant($"runs/{run.Variant}/seed-{run.Seed}");

    public string Of(SweepRun run) => In(Below(run));

    /// <summary>What a run's commands printed.</summary>
    public string Console(SweepRun run) => Of(run) + ".txt";

    /// <summary>Whether a plan can run here: in a new folder, or in one whose runs have the plan's settings.</summary>
    /// <param name="plan">What is to run.</param>
    /// <exception cref="UsageException">It is another's folder, or some of its runs have other settings.</exception>
    public void Check(SweepPlan plan)
    {
        if (path.Length == 0)
        {
            throw new UsageException("--out is empty; give the folder of the sweep");
        }

        if (File.Exists(path) || (Directory.Exists(path) && !File.Exists(Plan) && !FolderLock.IsEmpty(path)))
        {
            throw new UsageException($"{path} is there and no sweep's folder; give another one with --out");
        }

        foreach (SweepRun run in plan.Runs)
        {
            CheckSettings(run);
        }
    }

    /// <summary>Takes the folder for a plan; null: another process works in it.</summary>
    public IDisposable? Take(SweepPlan plan)
    {
        Directory.CreateDirectory(path);
        IDisposable? held = FolderLock.Take(path);
        if (held is not null)
        {
            AtomicFile.WriteText(Plan, File.ReadAllText(plan.File));
        }

        return held;
    }

    /// <summary>The state of each run, as the table has it.</summary>
    /// <exception cref="UsageException">The table is damaged.</exception>
    public Dictionary<(string Variant, int Seed), SweepRunRow> States()
        => CsvTable.Read<SweepRunRow>(Runs).GroupBy(row => (row.Variant, row.Seed)).ToDictionary(rows => rows.Key, rows => rows.Last());

    private void CheckSettings(SweepRun run)
    {
        if (RunFolder.Find(Of(run)) is { Config: var config } && Alike(SettingsLoader.Load(config)) != Alike(run.Settings))
        {
            throw new UsageException($"{Of(run)} was run with other settings than {Plan} now gives it; give the sweep another folder with --out, or remove that run");
        }
    }

    /// <summary>Without what differs from machine to machine.</summary>
    private static Settings Alike(Settings settings) => settings with { Name = null, Threads = 0, Data = settings.Data with { Root = null } };

    private string In(string name) => System.IO.Path.Combine(path, name);
}

using System.Globalization;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Sweeps;

/// <summary>The folder of a sweep and its tables.</summary>
/// <param name="path">The path of the folder.</param>
internal sealed class SweepFolder(string path)
{
    /// <summary>States of a run in <c>runs.csv</c>.</summary>
    public const string Done = "done", Failed = "failed", Waiting = "waiting";

    /// <summary>How the first line of the plan starts if the command line added to it.</summary>
    private const string Given = "# with --";

    public string Path => path;

    public string Plan => In("sweep.yaml");

    public string Runs => In("runs.csv");

    public string Summary => In("summary.csv");

    public string Comparison => In("comparison.csv");

    /// <summary>Whether a folder contains a sweep.</summary>
    public static bool IsSweep(string path) => File.Exists(new SweepFolder(path).Plan);

    /// <summary>A run's folder, below the sweep's.</summary>
    public static string RelativePath(SweepRun run) => FormattableString.Invariant($"runs/{run.Variant}/seed-{run.Seed}");

    public string RunPath(SweepRun run) => In(RelativePath(run));

    /// <summary>The console output of a run's commands.</summary>
    public string Console(SweepRun run) => RunPath(run) + ".txt";

    /// <summary>Checks that a plan can run here: the folder is new, or its runs have the plan's settings.</summary>
    /// <param name="plan">The plan.</param>
    /// <exception cref="UsageException">The folder belongs to something else, or some of its runs have different settings.</exception>
    public void Check(SweepPlan plan)
    {
        if (File.Exists(path) || (Directory.Exists(path) && !File.Exists(Plan) && !FolderLock.IsEmpty(path)))
        {
            throw new UsageException($"{path} exists and is not a sweep folder; choose another one with --out");
        }

        foreach (SweepRun run in plan.Others.Concat(plan.Runs))
        {
            CheckSettings(run, plan);
        }
    }

    /// <summary>Locks the folder for a plan; null if another process is using it.</summary>
    public IDisposable? TryLock(SweepPlan plan)
    {
        Directory.CreateDirectory(path);
        IDisposable? held = FolderLock.TryAcquire(path);
        if (held is not null)
        {
            string given = plan.Given.Length > 0 ? $"# with {plan.Given}\n" : "", text = File.ReadAllText(plan.File);
            bool isOwn = text.StartsWith(Given, StringComparison.Ordinal); // written by an earlier command: this very file, or a copy
            AtomicFile.WriteText(Plan, given + (isOwn ? text[(text.IndexOf('\n', StringComparison.Ordinal) + 1)..] : text));
        }

        return held;
    }

    /// <summary>The state of each run, from the table; empty if there is no sweep.</summary>
    /// <exception cref="UsageException">The table is damaged.</exception>
    public Dictionary<(string Variant, int Seed), SweepRunRow> States() => !IsSweep(path)
        ? []
        : CsvTable.Read<SweepRunRow>(Runs).GroupBy(row => (row.Variant, row.Seed)).ToDictionary(rows => rows.Key, rows => rows.Last());

    /// <summary>Epochs that a run has done, from the last line of <c>epochs.csv</c>, which another process may be writing.</summary>
    public int EpochsDone(SweepRun run)
    {
        string? last = RunFolder.Find(RunPath(run)) is { Epochs: var file } && File.Exists(file) ? LastLine(file) : null;
        return int.TryParse(last?.Split(',')[0], NumberStyles.None, CultureInfo.InvariantCulture, out int epoch)
            ? Math.Min(epoch, run.Epochs)
            : 0;
    }

    private static string? LastLine(string file)
    {
        try
        {
            return File.ReadLines(file).LastOrDefault();
        }
        catch (FileNotFoundException)
        {
            return null; // its run has just started over
        }
    }

    private void CheckSettings(SweepRun run, SweepPlan plan)
    {
        if (RunFolder.Find(RunPath(run)) is { Config: var config }
            && WithoutMachineSettings(SettingsLoader.Load(config)) != WithoutMachineSettings(run.Settings))
        {
            throw new UsageException($"{RunPath(run)} was run with different settings than {plan.File} specifies; choose another sweep "
                + "folder with --out, or remove that run");
        }
    }

    /// <summary>Without machine-specific settings.</summary>
    private static Settings WithoutMachineSettings(Settings settings)
        => settings with { Name = null, Threads = 0, Data = settings.Data with { Root = null } };

    private string In(string name) => System.IO.Path.Combine(path, name);
}

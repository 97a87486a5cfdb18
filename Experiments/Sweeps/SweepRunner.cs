using System.Globalization;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training;

namespace Imta.MetaWeight.Experiments.Sweeps;

/// <summary>Runs the unfinished runs of a sweep, several in parallel, each in its own process; updates the tables after each one.</summary>
internal sealed class SweepRunner
{
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(500); // leave the cores to the runs

    private readonly SweepPlan _plan;
    private readonly SweepFolder _folder;
    private readonly RunMonitor _monitor;
    private readonly string[] _allow;
    private readonly int _jobs;
    private readonly DevicePool _devices;
    private readonly Dictionary<(string Variant, int Seed), SweepRunRow> _states = [];
    private readonly Dictionary<(string Variant, int Seed), Dictionary<MetricKey, double>> _measured = [];
    private readonly Dictionary<SweepRun, int> _epochs = [];
    private readonly List<SweepProcess> _running = [];

    /// <param name="plan">The plan.</param>
    /// <param name="folder">The sweep folder.</param>
    /// <param name="monitor">Receives progress.</param>
    /// <param name="jobs">The number of parallel runs; null: one, or as many as the CUDA devices allow if every run uses CUDA.</param>
    /// <param name="allowed">The checks that do not stop a run (<c>--allow</c>).</param>
    public SweepRunner(SweepPlan plan, SweepFolder folder, RunMonitor monitor, int? jobs, IReadOnlyList<string> allowed)
    {
        (_plan, _folder, _monitor, _allow) = (plan, folder, monitor, [.. allowed.SelectMany(check => (string[])["--allow", check])]);
        IReadOnlyList<string> devices = plan.Runs.Any(run => run.UsesCuda) ? CudaDevices.Names : [];
        _devices = new DevicePool(devices);
        _jobs = jobs
            ?? (plan.Runs.All(run => run.UsesCuda) ? Math.Max(1, devices.Count / plan.Runs.Max(run => run.Settings.Processes)) : 1);
    }

    /// <summary>The unfinished runs: failed ones, then interrupted ones.</summary>
    public IReadOnlyList<SweepRunRow> Unfinished => [.. _plan.Runs.Select(run => _states[(run.Variant, run.Seed)])
        .Where(row => row.State != SweepFolder.Done).OrderBy(row => row.State == SweepFolder.Waiting)];

    /// <summary>Runs all unfinished runs.</summary>
    /// <param name="stop">Stops the active runs, each with a checkpoint.</param>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was requested.</exception>
    public void Run(CancellationToken stop)
    {
        Restore();
        foreach (SweepRun run in _plan.Runs)
        {
            _epochs[run] = StateOf(run) == SweepFolder.Done ? run.Epochs : 0;
        }

        WriteTables();
        var left = new Queue<SweepRun>(_plan.Runs.Where(run => StateOf(run) != SweepFolder.Done));
        (int all, int variants) = (_plan.Runs.Count, _plan.Runs.Select(run => run.Variant).Distinct().Count());
        _monitor.WriteLine(FormattableString.Invariant(
            $"{Terminal.Count(all, "run")} of {Terminal.Count(variants, "variant")}, {all - left.Count} done; folder {_folder.Path}"));
        _monitor.Track(_plan.Runs.Sum(run => run.Epochs), _epochs.Values.Sum(), () => Loop(left, stop));
    }

    /// <summary>Restores the states that earlier commands left, of all chosen runs and of the others that left something.</summary>
    private void Restore()
    {
        var before = _folder.States();
        foreach ((SweepRun run, bool chosen) in _plan.Runs.Select(run => (run, true)).Concat(_plan.Others.Select(run => (run, false))))
        {
            // A run without a row may belong to a variant that was temporarily removed from the file.
            SweepRunRow? row = before.GetValueOrDefault((run.Variant, run.Seed));
            bool ended = row is null ? _folder.EpochsDone(run) == run.Epochs : row.State == SweepFolder.Done;
            if (ended && LoadMetrics(run))
            {
                SetState(run, SweepFolder.Done, null);
            }
            else if (!chosen && row is { State: SweepFolder.Failed })
            {
                _states[(run.Variant, run.Seed)] = row; // perhaps without a folder, if it was rejected before it had one
            }
            else if (chosen || (row is not null && Directory.Exists(_folder.RunPath(run))))
            {
                SetState(run, SweepFolder.Waiting, null);
            }
        }
    }

    private void Loop(Queue<SweepRun> left, CancellationToken stop)
    {
        try
        {
            while (left.Count > 0 || _running.Count > 0)
            {
                while (left.Count > 0 && _running.Count < _jobs && !stop.IsCancellationRequested)
                {
                    _running.Add(Start(left.Dequeue(), stop));
                }

                stop.ThrowIfCancellationRequested();
                Thread.Sleep(PollInterval);
                foreach (SweepProcess process in _running.ToArray())
                {
                    Poll(process);
                }
            }
        }
        finally
        {
            _running.ForEach(process => process.RequestStop());
            foreach (SweepProcess process in _running)
            {
                process.WaitForExit();
                process.Dispose();
            }
        }
    }

    private SweepProcess Start(SweepRun run, CancellationToken stop)
    {
        string folder = _folder.RunPath(run);
        bool announced = false;
        while (FolderLock.IsLocked(folder))
        {
            if (!announced)
            {
                _monitor.WriteLine($"{run.Variant}, seed {run.Seed}: waiting for a process that is still running in {folder}");
                announced = true;
            }

            stop.ThrowIfCancellationRequested();
            Thread.Sleep(PollInterval);
        }

        Directory.CreateDirectory(Path.GetDirectoryName(folder)!);
        return new SweepProcess(
            run, Arguments(run, folder), _folder.Console(run), run.UsesCuda ? _devices.Acquire(run.Settings.Processes) : DeviceLease.None);
    }

    /// <summary>The command that starts or resumes a run.</summary>
    private string[] Arguments(SweepRun run, string folder)
    {
        if (RunFolder.CanResume(folder))
        {
            string[] data = run.Settings.Data.Root is { } root ? ["--data", root] : [];
            return ["train", "--resume", folder, .. data, .. _allow];
        }

        int threads = run.Settings.Threads == 0 && _jobs > 1
            ? Math.Max(1, Environment.ProcessorCount / _jobs / run.Settings.Processes)
            : run.Settings.Threads;
        return
        [
            "train", .. _plan.Config is { } config
                ? [config]
                : Array.Empty<string>(), "--out", folder, "--force", "--threads", threads.ToString(CultureInfo.InvariantCulture),
            .. run.Overrides.SelectMany(
                given => (string[])["--set", $"{given.Key}={(given.IsText ? YamlText(given.Value) : given.Value)}"]),
            .. _allow,
        ];
    }

    private static string YamlText(string text) => $"'{text.Replace("'", "''", StringComparison.Ordinal)}'";

    /// <summary>Reports the progress of a run, and records its result if it has ended.</summary>
    private void Poll(SweepProcess process)
    {
        SweepRun run = process.Run;
        bool ended = process.HasExited;
        int epochs = _folder.EpochsDone(run);
        for (; _epochs[run] < epochs; _epochs[run]++)
        {
            int over = _plan.Runs.Count(other => StateOf(other) != SweepFolder.Waiting);
            _monitor.Advance(
                FormattableString.Invariant(
                    $"{over}/{_plan.Runs.Count} runs, {run.Variant} seed {run.Seed} epoch {_epochs[run] + 1}/{run.Epochs}"));
        }

        if (!ended)
        {
            return;
        }

        _running.Remove(process);
        (int code, string? message) = process.WaitForExit();
        process.Dispose();
        if (StopSignal.IsStop(code))
        {
            return; // interrupted; the next start resumes it
        }

        bool done = code == 0 && LoadMetrics(run);
        SetState(
            run, done ? SweepFolder.Done : SweepFolder.Failed, done ? null : message ?? FormattableString.Invariant($"exit code {code}"));
        WriteTables();
        _monitor.WriteLine(
            done
                ? $"{run.Variant}, seed {run.Seed}: done"
                : $"{run.Variant}, seed {run.Seed}: failed: {_states[(run.Variant, run.Seed)].Message}");
    }

    /// <summary>Reads the metrics of a completed run; false if its tables are incomplete, so it is not done.</summary>
    private bool LoadMetrics(SweepRun run)
    {
        try
        {
            _measured[(run.Variant, run.Seed)] = SweepSummary.ReadMetrics(_folder.RunPath(run));
            return true;
        }
        catch (UsageException)
        {
            return false;
        }
    }

    private void WriteTables()
    {
        (string, IReadOnlyDictionary<int, Dictionary<MetricKey, double>>)[] variants = [.. _plan.Variants.Select(variant =>
            (variant, (IReadOnlyDictionary<int, Dictionary<MetricKey, double>>)_measured
                .Where(run => run.Key.Variant == variant).ToDictionary(run => run.Key.Seed, run => run.Value)))];
        CsvTable.Write(
            _folder.Runs, from seed in _states.Keys.Select(run => run.Seed).Distinct().Order()
                          from variant in _plan.Variants
                          where _states.ContainsKey((variant, seed))
                          select _states[(variant, seed)]);
        CsvTable.Write(_folder.Summary, SweepSummary.Summary(variants));
        if (_plan.Baselines.Count > 0)
        {
            CsvTable.Write(_folder.Comparison, SweepSummary.Comparison(variants, _plan.Baselines));
        }
        else
        {
            File.Delete(_folder.Comparison); // from an earlier plan
        }
    }

    private string StateOf(SweepRun run) => _states[(run.Variant, run.Seed)].State;

    private void SetState(SweepRun run, string state, string? message)
        => _states[(run.Variant, run.Seed)] = new SweepRunRow
        {
            Variant = run.Variant,
            Seed = run.Seed,
            Folder = SweepFolder.RelativePath(run),
            State = state,
            Message = message,
        };
}

using System.Text.Json;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training.Checks;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>
/// From the command line to the first batch: of a new run or one that goes on, by one process or by several ranks. Rank 0 has the run's
/// folder, checks and speaks; the others get from it what to train, and have their own images. Nothing is written before all of them can train.
/// </summary>
/// <param name="ranks">The ranks.</param>
/// <param name="allowed">Checks whose findings do not stop it.</param>
/// <param name="images">The folder of the data set's files; null: the one that the configuration names.</param>
/// <param name="stop">Asks this rank to stop.</param>
internal sealed class RunStart(RankStart ranks, IReadOnlySet<CheckName> allowed, string? images, CancellationToken stop)
{
    private readonly Replicas _replicas = ranks.Replicas;

    /// <summary>Starts a run; the exit code of the command.</summary>
    /// <param name="read">Reads the settings.</param>
    /// <param name="folder">Of the run; null: the default.</param>
    /// <param name="replace">Whether a run that it holds goes.</param>
    /// <param name="isElsewhere">Whether this rank cannot read the settings, and takes rank 0's.</param>
    public int Begin(Func<Settings> read, string? folder, bool replace, bool isElsewhere)
    {
        DateTime start = DateTime.Now;
        Settings settings = null!;
        string path = folder ?? "";
        _replicas.Together(() =>
        {
            if (!isElsewhere)
            {
                settings = read();
            }

            if (_replicas.IsFirst)
            {
                RunFolder.Check(path = folder ?? RunFolder.DefaultPath(settings, start), replace);
            }
        });
        StartMessage? own = _replicas.IsFirst ? new(SettingsWriter.Write(settings), path, Resumes: false) : null;
        StartMessage first = StartMessage.Share(_replicas, own);
        _replicas.Together(() => first.Compare(isElsewhere || _replicas.IsFirst ? null : settings, resumes: false));
        if (!_replicas.IsFirst)
        {
            return Follow(first);
        }

        (Device device, MachineRoom room, RunData data) = Prepare(settings, path);
        using RunData loaded = data;
        IReadOnlyList<TrainingPhase> phases = TrainingPhase.Of(settings);
        RunModel? model = null;
        RunChecks? checks = null;
        Finding[] findings = [];
        _replicas.Together(() =>
        {
            HeadedNetwork? source = PhaseOneSource.Load(settings, device, data.Fingerprint);
            model = RunModel.Build(phases[0], data.Train.ClassCounts(), device, _replicas, source);
            checks = new RunChecks(phases, data, model, model.Network.Cost(DatasetShape.Of(settings.Data).Side), here: ranks.LocalSize);
            findings = [.. checks.BeforeStart(room)];
        });
        using RunModel trained = model!;
        if (Refused(findings))
        {
            return UsageException.ExitCode;
        }

        RunFolder? made = null;
        using var held = new Held();
        _replicas.Together(() =>
        {
            ranks.Watch?.Dispose();
            made = RunFolder.Create(path, replace, SettingsWriter.Write(settings), out IDisposable hold);
            held.Until = hold;
            string environment = EnvironmentReport.Json(settings, Environment.GetCommandLineArgs()[1..], start, data.Fingerprint);
            AtomicFile.WriteText(made.Environment, environment);
            Checkpoint.Write(made.LatestCheckpoint, settings, phases[0], trained, phases[0].EpochsBefore);
        });
        ShareCheckpoint(made!.LatestCheckpoint);
        string needs = checks!.Needs;
        return Train(new RunSummary(settings, phases, data, trained, made, device, _replicas, needs, findings, Done: null, Progress: null));
    }

    /// <summary>Goes on with a run after its latest checkpoint; the exit code of the command.</summary>
    /// <param name="run">Its folder.</param>
    /// <param name="refuseChanges">Throws where the command line would change the run.</param>
    public int GoOn(string run, Action refuseChanges)
    {
        using DisposeScope scope = NewDisposeScope();
        RunFolder folder = null!;
        using var held = new Held();
        string file = "";
        Checkpoint.Content checkpoint = null!;
        _replicas.Together(() =>
        {
            refuseChanges();
            if (_replicas.IsFirst)
            {
                folder = RunFolder.Open(run);
                held.Until = folder.Hold();
                (file, checkpoint) = Checkpoint.Latest(folder, warning => Console.Error.WriteLine($"warning: {warning}"));
                CheckUnchanged(folder, file, checkpoint);
            }
        });
        StartMessage? own = _replicas.IsFirst ? new(SettingsWriter.Write(checkpoint.Settings), folder.Path, Resumes: true) : null;
        StartMessage first = StartMessage.Share(_replicas, own);
        _replicas.Together(() => first.Compare(null, resumes: true));
        if (!_replicas.IsFirst)
        {
            return Follow(first);
        }

        Settings settings = checkpoint.Settings;
        (Device device, MachineRoom room, RunData data) = Prepare(settings, run, data => CheckImages(folder, data));
        using RunData loaded = data;
        IReadOnlyList<TrainingPhase> phases = PhasesFrom(checkpoint);
        RunModel? model = null;
        RunChecks? checks = null;
        Finding[] findings = [];
        _replicas.Together(() =>
        {
            model = RunModel.Build(phases[0], data.Train.ClassCounts(), device, _replicas);
            checkpoint.Restore(model, file);
            checkpoint.ReleaseModel();
            NetworkCost cost = model.Network.Cost(DatasetShape.Of(settings.Data).Side);
            checks = new RunChecks(phases, data, model, cost, checkpoint.Epochs, ranks.LocalSize);
            findings = [.. checks.BeforeGoingOn(room)];
        });
        using RunModel trained = model!;
        if (Refused(findings))
        {
            return UsageException.ExitCode;
        }

        _replicas.Together(() =>
        {
            ranks.Watch?.Dispose();
            folder.KeepThrough(checkpoint.Epochs);
            if (checkpoint.Epochs < phases[^1].LastEpoch)
            {
                folder.RemoveTest();
            }
        });
        ShareCheckpoint(file);
        string needs = checks!.Needs;
        return Train(new RunSummary(settings, phases, data, trained, folder, device, _replicas, needs, findings, checkpoint.Epochs, checkpoint.Progress));
    }

    /// <summary>
    /// A rank that rank 0 speaks for: all it has to know but the place of the images comes from there, with the checkpoint that the run starts from.
    /// </summary>
    private int Follow(StartMessage first)
    {
        using DisposeScope scope = NewDisposeScope();
        Settings settings = SettingsLoader.Parse(first.Settings, "the configuration of rank 0");
        (Device device, _, RunData data) = Prepare(settings, first.Run);
        using RunData loaded = data;
        _replicas.Together(null); // rank 0 builds the network
        if (IsRefused(here: false))
        {
            return UsageException.ExitCode; // rank 0 says why
        }

        ranks.Watch?.Dispose();
        _replicas.Together(null); // and makes the run's folder
        Checkpoint.Content checkpoint = Received(_replicas.Share((byte[]?)null));
        IReadOnlyList<TrainingPhase> phases = PhasesFrom(checkpoint);
        using RunModel model = RunModel.Build(phases[0], data.Train.ClassCounts(), device, _replicas);
        checkpoint.Restore(model, first.Run);
        checkpoint.ReleaseModel();
        RunFolder folder = RunFolder.Elsewhere(first.Run);
        _replicas.Advice = Advice(folder);
        try
        {
            new TrainingRun(settings, data, folder, RunMonitor.Silent(), device, _replicas)
                .Run(phases, model, checkpoint.Epochs, checkpoint.Progress, stop);
            return 0;
        }
        catch (OperationCanceledException)
        {
            return Interruption.ExitCode; // rank 0 says so
        }
    }

    /// <summary>Device and images of this rank, which have to be those of rank 0.</summary>
    private (Device Device, MachineRoom Room, RunData Data) Prepare(Settings settings, string run, Action<RunData>? check = null)
    {
        Device device = CPU;
        MachineRoom? room = null;
        RunData? data = null;
        _replicas.Together(() =>
        {
            device = ComputeDevice.Prepare(settings, ranks.LocalRank, ranks.LocalSize);
            room = MachineRoom.Of(run, device.type == DeviceType.CUDA ? device.index : null); // before anything of this process lies on a GPU
            data = DataSets.Load(settings, images);
            check?.Invoke(data);
        });
        if (_replicas.AreSeveral)
        {
            string own = data!.Fingerprint ?? "in memory", first = _replicas.Share(_replicas.IsFirst ? own : null);
            _replicas.Together(() => Demand(own == first, "the data set's folder has other files here than on rank 0; give all ranks the same"));
        }

        return (device, room!, data!);
    }

    /// <summary>Keeps other processes from training in the run's folder, from the moment on that it is held.</summary>
    private sealed class Held : IDisposable
    {
        public IDisposable? Until { get; set; }

        public void Dispose() => Until?.Dispose();
    }

    private static void Demand(bool condition, string problem)
    {
        if (!condition)
        {
            throw new UsageException(problem);
        }
    }

    private void CheckUnchanged(RunFolder folder, string file, Checkpoint.Content checkpoint)
    {
        Settings settings = checkpoint.Settings;
        Demand(
            checkpoint.IsPresentFormat,
            $"{file} is of an earlier version of imta, which can go on with it; "
            + "this one can evaluate it (imta eval) or take it as phase I (phase2.from)");
        Demand(
            !File.Exists(folder.Config) || File.ReadAllText(folder.Config) == SettingsWriter.Write(settings),
            $"{folder.Config} was changed since the run started, and a run is not changed half-way; "
            + $"undo that, or start another run: imta train {folder.Config} --out DIR");
        string had = settings.Processes == 1 ? "one process" : $"{settings.Processes} ranks";
        Demand(
            settings.Processes == _replicas.Shard.Of,
            FormattableString.Invariant($"{folder.Path} is trained by {had}, and the launcher started {_replicas.Shard.Of}; ")
            + FormattableString.Invariant($"start {settings.Processes}, so that its numbers stay the same"));
    }

    private static void CheckImages(RunFolder folder, RunData data)
    {
        if (data.Fingerprint is not null && EnvironmentReport.ImagesOf(folder.Environment) is null)
        {
            Console.Error.WriteLine(
                $"warning: {folder.Environment} does not say with which files the run started; if they are others now, it goes on to other numbers");
        }

        Demand(
            !folder.StartedWithOthers(data.Fingerprint),
            $"the data set's files are others than when {folder.Path} started (added, removed or renamed), so that training and validation "
            + "pictures would change places; put them back, or name a folder that has them by --data");
    }

    private void ShareCheckpoint(string file)
    {
        if (_replicas.AreSeveral)
        {
            _replicas.Share(File.ReadAllBytes(file));
        }
    }

    private static Checkpoint.Content Received(byte[] bytes)
    {
        string file = Path.GetTempFileName();
        try
        {
            File.WriteAllBytes(file, bytes);
            return Checkpoint.Read(file);
        }
        finally
        {
            File.Delete(file);
        }
    }

    private static IReadOnlyList<TrainingPhase> PhasesFrom(Checkpoint.Content checkpoint)
        => [.. TrainingPhase.Of(checkpoint.Settings).Where(phase => phase.Number >= checkpoint.Phase)];

    private static string Advice(RunFolder folder) => $"{folder.LatestCheckpoint} is whole: go on by imta train --resume {folder.Path}";

    /// <summary>Whether a finding stops the run in all ranks; then all of them are shown.</summary>
    private bool Refused(Finding[] findings)
    {
        bool refused = findings.Any(Stops);
        foreach (Finding finding in refused ? findings.OrderBy(Stops) : Enumerable.Empty<Finding>())
        {
            Console.Error.WriteLine(Stops(finding) ? $"imta: {finding.Line}; {finding.Override}" : $"imta: warning: {finding.Line}");
        }

        return IsRefused(refused);

        bool Stops(Finding finding) => finding.Severity == Severity.Stop && !allowed.Contains(finding.Check);
    }

    /// <summary>The last word before something is written.</summary>
    /// <exception cref="OperationCanceledException">Somebody asked one of the ranks to stop.</exception>
    private bool IsRefused(bool here)
    {
        Agreement agreed = _replicas.Agree(stop.IsCancellationRequested, problem: here ? "a check" : null);
        return agreed.Stop ? throw new OperationCanceledException(stop) : agreed.Problem is not null;
    }

    private int Train(RunSummary plan)
    {
        RunFolder folder = plan.Folder;
        _replicas.Advice = Advice(folder);
        RunMonitor monitor = RunMonitor.ForConsole();
        monitor.LogTo(folder.Log);
        foreach (string line in plan.Lines())
        {
            monitor.Say(line);
        }

        foreach ((RankIdentity rank, int number) in ranks.Identities.Select((rank, number) => (rank, number)))
        {
            string line = FormattableString.Invariant($"rank {number}: process {rank.Process} on {rank.Host}, {rank.Mpi}");
            monitor.Log($"{line}; if it loses the others, its last line is also in {rank.LastWords} there");
        }

        try
        {
            new TrainingRun(plan.Settings, plan.Data, folder, monitor, plan.Device, _replicas)
                .Run(plan.Phases, plan.Model, plan.Done ?? 0, plan.Progress, stop);
        }
        catch (OperationCanceledException)
        {
            monitor.Say($"stopped; go on: imta train --resume {folder.Path}");
            return Interruption.ExitCode;
        }
        catch (LostProcessException e)
        {
            monitor.Log(e.Message);
            throw;
        }
        catch (IOException e)
        {
            // The log may be on the same full disk.
            string advice = $"{folder.LatestCheckpoint} is whole: when that is mended, go on by imta train --resume {folder.Path}";
            throw new IOException($"{e.Message.TrimEnd('.')}; {advice}", e);
        }
        catch (Exception e)
        {
            monitor.Log($"the run failed: {e}");
            throw;
        }

        monitor.Say($"results are in {folder.Path}");
        return 0;
    }
}

/// <summary>What rank 0 tells the others at the start.</summary>
/// <param name="Settings">The run's, as YAML.</param>
/// <param name="Run">Its folder, which rank 0 alone has to reach.</param>
/// <param name="Resumes">Whether the run goes on.</param>
internal sealed record StartMessage(string Settings, string Run, bool Resumes)
{
    /// <summary>Rank 0's, in every rank.</summary>
    /// <param name="replicas">The ranks.</param>
    /// <param name="own">In rank 0: the message.</param>
    public static StartMessage Share(Replicas replicas, StartMessage? own) => own is not null && !replicas.AreSeveral
        ? own
        : JsonSerializer.Deserialize<StartMessage>(replicas.Share(own is null ? null : JsonSerializer.Serialize(own)))!;

    /// <summary>Compares what a rank's own command line says with rank 0's; only the images may lie elsewhere.</summary>
    /// <param name="own">The rank's settings; null: it has them from rank 0.</param>
    /// <param name="resumes">Whether it was started to go on with a run.</param>
    /// <exception cref="UsageException">They differ.</exception>
    public void Compare(Settings? own, bool resumes)
    {
        if (resumes != Resumes)
        {
            (string here, string there) = resumes ? ("with", "without") : ("without", "with");
            throw new UsageException($"this rank was started {here} --resume and rank 0 {there} it; start all ranks by the same command line");
        }

        if (own is null)
        {
            return;
        }

        Settings first = SettingsLoader.Parse(Settings, "the configuration of rank 0");
        if (Lines(own).Zip(Lines(first)).FirstOrDefault(pair => pair.First != pair.Second) is ({ } line, { } other))
        {
            throw new UsageException(
                $"the configuration has '{line.Trim()}' here and '{other.Trim()}' on rank 0; start all ranks by the same command line and file");
        }

        static string[] Lines(Settings settings) => SettingsWriter.Write(settings with { Data = settings.Data with { Root = null } }).Split('\n');
    }
}

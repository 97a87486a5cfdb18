using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training.Checks;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>
/// From the command line to the end of training, in one process or several ranks. Rank 0 owns the run's folder, runs the checks and prints;
/// the others receive from it what to train and load their own data. Nothing is written before all of them can train.
/// </summary>
/// <param name="ranks">The ranks.</param>
/// <param name="allowed">Checks whose findings do not stop the run.</param>
/// <param name="images">The folder of the data set; null: the one in the configuration.</param>
/// <param name="stop">Asks this rank to stop.</param>
internal sealed class RunStarter(RankContext ranks, IReadOnlySet<CheckName> allowed, string? images, CancellationToken stop)
{
    private readonly ProcessGroup _processGroup = ranks.ProcessGroup;

    /// <summary>The columns of <c>epochs.csv</c>.</summary>
    public IReadOnlyList<EpochColumn> Columns { get; init; } = EpochColumn.Defaults;

    /// <summary>Starts or resumes a run and trains it to the end; returns the command's exit code.</summary>
    /// <param name="origin">The run's origin; other ranks only compare theirs with that of rank 0.</param>
    public int Run(RunOrigin origin)
    {
        using DisposeScope scope = NewDisposeScope();
        using RunOrigin held = origin;
        StartMessage message = BroadcastMessage(origin);
        Settings settings = _processGroup.IsRankZero
            ? origin.Settings
            : SettingsLoader.Parse(message.Settings, "the configuration of rank 0");
        (Device device, AvailableResources available, RunData data) = Prepare(
            settings, message.Run, _processGroup.IsRankZero ? origin.CheckData : null);
        using RunData loaded = data;
        PreparedModel? first = null;
        _processGroup.RunCollectively(!_processGroup.IsRankZero ? null : () =>
        {
            if (origin.EpochsTable is { } table)
            {
                EpochColumn.CheckHeader(table, Columns);
            }

            first = origin.Build(device, data, _processGroup);
            first.Examine(data, available, ranks.LocalSize);
        });
        using RunModel? own = first?.Model;
        if (IsRejected(first?.Findings ?? []))
        {
            return UsageException.ExitCode;
        }

        RunFolder folder = new RunFolder(message.Run);
        _processGroup.RunCollectively(() =>
        {
            ranks.StartupWatchdog?.Dispose();
            folder = _processGroup.IsRankZero ? origin.Commit(first!, data) : folder;
        });
        using PreparedModel model = Distribute(first, origin, message, data, device);
        RunMonitor monitor = _processGroup.IsRankZero ? RunMonitor.ForConsole() : RunMonitor.Silent();
        return Train(new RunContext(settings, data, folder, monitor, device, _processGroup) { Columns = Columns }, model);
    }

    /// <summary>What rank 0 sends to the others, which their own command lines must not contradict.</summary>
    private StartMessage BroadcastMessage(RunOrigin origin)
    {
        StartMessage? own = null;
        Settings? read = null;
        _processGroup.RunCollectively(() =>
        {
            read = origin.Read();
            own = _processGroup.IsRankZero ? origin.Open(_processGroup.Shard.Count) : null;
        });
        StartMessage message = StartMessage.Broadcast(_processGroup, own);
        _processGroup.RunCollectively(() => message.EnsureMatches(_processGroup.IsRankZero ? null : read, origin.Resumes));
        return message;
    }

    /// <summary>Device and data set of this rank, which must match those of rank 0.</summary>
    private (Device Device, AvailableResources Available, RunData Data) Prepare(Settings settings, string run, Action<RunData>? check)
    {
        Device device = CPU;
        AvailableResources? available = null;
        RunData? data = null;
        _processGroup.RunCollectively(() =>
        {
            long? memory = AvailableResources.FreeMemory("/") / ranks.LocalSize; // before another rank loads its images
            device = ComputeDevice.Configure(settings, ranks.LocalRank, ranks.LocalSize);
            // before this process allocates GPU memory
            available = AvailableResources.Query(run, device.type == DeviceType.CUDA ? device.index : null);
            data = DataSets.Load(settings, images, memory);
            check?.Invoke(data);
        });
        if (_processGroup.IsDistributed)
        {
            string own = data!.Fingerprint ?? "generated", first = _processGroup.Broadcast(_processGroup.IsRankZero ? own : null);
            _processGroup.RunCollectively(() =>
            {
                if (own != first)
                {
                    throw new UsageException(
                        "the data set's folder has different files here than on rank 0; all ranks need the same files");
                }
            });
        }

        return (device, available!, data!);
    }

    /// <summary>
    /// Whether a finding stops the run, in all ranks; rank 0 then prints all findings. The last check before anything is written.
    /// </summary>
    /// <exception cref="OperationCanceledException">One of the ranks was asked to stop.</exception>
    private bool IsRejected(IReadOnlyList<CheckFinding> findings)
    {
        bool refused = findings.Any(Stops);
        foreach (CheckFinding finding in refused ? findings.OrderBy(Stops) : Enumerable.Empty<CheckFinding>())
        {
            Console.Error.WriteLine(Stops(finding) ? $"imta: {finding.Line}; {finding.OverrideHint}" : $"imta: warning: {finding.Line}");
        }

        CollectiveStatus agreed = _processGroup.AllReduceFlags(stop.IsCancellationRequested, problem: refused ? "a check" : null);
        return agreed.Stop ? throw new OperationCanceledException(stop) : agreed.Problem is not null;

        bool Stops(CheckFinding finding) => finding.Severity == Severity.Error && !allowed.Contains(finding.Check);
    }

    /// <summary>The model in every rank, with the state of rank 0, from the checkpoint that the run starts from.</summary>
    private PreparedModel Distribute(PreparedModel? first, RunOrigin origin, StartMessage message, RunData data, Device device)
    {
        if (first is not null)
        {
            if (_processGroup.IsDistributed)
            {
                _processGroup.Broadcast(File.ReadAllBytes(origin.CheckpointFile));
            }

            return first;
        }

        Checkpoint.CheckpointContent checkpoint = ReadCheckpoint(_processGroup.Broadcast((byte[]?)null));
        return PreparedModel.From(checkpoint, message.Run, data, device, _processGroup);
    }

    private static Checkpoint.CheckpointContent ReadCheckpoint(byte[] bytes)
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

    private int Train(RunContext run, PreparedModel model)
    {
        RunFolder folder = run.Folder;
        RunMonitor monitor = run.Monitor;
        string resume = SelfProcess.CommandLine("train", "--resume", folder.Path);
        _processGroup.RecoveryHint = $"{folder.LatestCheckpoint} is intact: resume with {resume}";
        if (_processGroup.IsRankZero)
        {
            Announce(run, model);
        }

        try
        {
            new TrainingRun(run).Run(model, stop);
        }
        catch (OperationCanceledException)
        {
            monitor.WriteLine($"stopped; resume with {resume}");
            return StopSignal.ExitCode;
        }
        catch (RankLostException e)
        {
            monitor.TryLog(e.Message);
            throw;
        }
        catch (IOException e) when (_processGroup.IsRankZero)
        {
            // The log may be on the same full disk, or have been deleted with the folder.
            string advice = RunFolder.CanResume(folder.Path)
                ? $"{folder.LatestCheckpoint} is intact: once the problem is fixed, resume with {resume}"
                : $"the checkpoints in {folder.Path} are gone, so the run must be restarted";
            throw new IOException($"{e.Message.TrimEnd('.')}; {advice}", e);
        }
        catch (Exception e)
        {
            monitor.LogFailure(e);
            throw;
        }

        if (_processGroup.IsRankZero)
        {
            RecordTime(run);
        }

        monitor.WriteLine($"results written to {folder.Path}");
        return 0;
    }

    /// <summary>Records the time of all epochs, over all sessions.</summary>
    private static void RecordTime(RunContext run)
    {
        try
        {
            Record(run);
        }
        catch (Exception e) when (e is UsageException or IOException or UnauthorizedAccessException)
        {
            Console.Error.WriteLine($"warning: the run's time is not recorded ({e.Message.TrimEnd('.')})"); // its results are complete
        }
    }

    private static void Record(RunContext run)
    {
        double seconds = CsvTable.Read<TimingRow>(run.Folder.Timing).Sum(row => row.TrainSeconds + row.ValidationSeconds);
        int? sessions = EnvironmentReport.Finish(run.Folder.Environment, seconds);
        string resumed = sessions > 1 ? FormattableString.Invariant($", in {sessions} sessions") : "";
        run.Monitor.WriteLine($"trained and validated for {RunMonitor.FormatRemaining(TimeSpan.FromSeconds(seconds))}{resumed}");
    }

    private void Announce(RunContext run, PreparedModel model)
    {
        run.Monitor.LogTo(run.Folder.Log);
        foreach (string line in RunSummary.Lines(run, model))
        {
            run.Monitor.WriteLine(line);
        }

        run.Monitor.Log(FormattableString.Invariant($"process {Environment.ProcessId} on {Environment.MachineName}, ")
            + FormattableString.Invariant($"after epoch {model.CompletedEpochs ?? 0}"));
        foreach ((RankIdentity rank, int number) in ranks.Identities.Select((rank, number) => (rank, number)))
        {
            string line = FormattableString.Invariant($"rank {number}: process {rank.ProcessId} on {rank.Host}, {rank.Mpi}");
            run.Monitor.Log($"{line}; if it loses contact with the others, its last message is also in {rank.ErrorLog} there");
        }
    }
}

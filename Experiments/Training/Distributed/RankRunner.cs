using System.Text.Json;

namespace Imta.MetaWeight.Experiments.Training.Distributed;

/// <summary>Runs a command in several processes: initialisation, and orderly or abnormal termination.</summary>
internal static class RankRunner
{
    /// <summary>
    /// Grace period between the last line of a failing rank and the abort of all ranks, in which other failing ranks can report.
    /// </summary>
    public static readonly TimeSpan ReportGracePeriod = TimeSpan.FromSeconds(1);

    /// <summary>MPI_Abort does not return if it cannot reach the launcher.</summary>
    public static readonly TimeSpan AbortTimeout = TimeSpan.FromSeconds(5);

    /// <summary>The same, if this rank was asked to stop.</summary>
    public static readonly TimeSpan StoppedAbortTimeout = TimeSpan.FromSeconds(0.3);

    /// <summary>Runs the command in this process, alone or as one of the ranks started by a launcher; returns its exit code.</summary>
    /// <param name="assignment">The rank assignment of the launcher; null for a single process.</param>
    /// <param name="timeout">The timeout for waiting for other ranks, at the start and in every collective.</param>
    /// <param name="work">The command; with several ranks it returns the same exit code in all of them, or throws in one of them.</param>
    /// <param name="stop">Asks this process to stop.</param>
    public static int Run(RankAssignment? assignment, TimeSpan timeout, Func<RankContext, int> work, CancellationToken stop)
    {
        if (assignment is null)
        {
            return work(new RankContext(ProcessGroup.SingleProcess, null, []));
        }

        var words = new RankErrorLog(assignment);
        using var watch = new StartupWatchdog(assignment, timeout, words, stop);
        MpiCommunicator group;
        try
        {
            group = Initialize(assignment);
        }
        catch (UsageException e)
        {
            watch.Dispose(); // it would end this rank while it waits for rank 0's words
            return Failure.Report(e, words.ReportOnce);
        }

        watch.OnAllStarted(group);
        var processGroup = new ProcessGroup(group, timeout, stop) { OnWaiting = words.Report };
        int code = Guarded(processGroup, group, words, () =>
        {
            IReadOnlyList<RankIdentity> all = RankIdentity.AllGather(processGroup, RankIdentity.Own(group.Mpi, words));
            return work(new RankContext(processGroup, watch, all));
        });
        group.Shutdown(code);
        return code;
    }

    /// <summary>Reports an error line of a command that runs in several processes, so that it is not repeated by each rank.</summary>
    public static void ReportError(string line)
    {
        if (AssignmentOrNull() is { } assignment)
        {
            new RankErrorLog(assignment).ReportOnce(line);
        }
        else
        {
            Failure.WriteError(line);
        }

        static RankAssignment? AssignmentOrNull()
        {
            try
            {
                return RankAssignment.Current();
            }
            catch (UsageException)
            {
                return null;
            }
        }
    }

    /// <summary>Initialises MPI's world, which must match the launcher's; otherwise each rank is alone in its own world.</summary>
    private static MpiCommunicator Initialize(RankAssignment assignment)
    {
        MpiLibrary library = MpiLibrary.Find(assignment.Families) ?? throw new UsageException(
            $"{assignment.Launcher} started this process, but no matching MPI library was found; "
            + $"install it where the dynamic loader finds it, or set {MpiLibrary.Variable}=/path/to/libmpi.so");
        var group = new MpiCommunicator(library);
        return group.Size == assignment.Size ? group : throw new UsageException(
            FormattableString.Invariant($"{assignment.Launcher} started {assignment.Size} ranks, but {library.Version} ({library.Path}) ")
            + FormattableString.Invariant($"sees {group.Size}: the library does not match the launcher; ")
            + $"launch with that library's own mpirun, or set the launcher's library with {MpiLibrary.Variable}=/path/to/libmpi.so");
    }

    /// <summary>Ends in an orderly way after a result common to all ranks, or aborts all ranks after a failure of this rank only.</summary>
    private static int Guarded(ProcessGroup processGroup, MpiCommunicator group, RankErrorLog words, Func<int> work)
    {
        try
        {
            int code;
            try
            {
                code = work();
            }
            catch (Exception e) when (e is CollectiveFailureException or OperationCanceledException)
            {
                code = Failure.Report(e, processGroup.IsRankZero ? Failure.WriteError : _ => { });
            }

            processGroup.FinalBarrier();
            return code;
        }
        catch (Exception e)
        {
            int code = Failure.Report(
                e, line => words.Report(processGroup.IsRankZero || e is RankLostException ? line : $"{processGroup.RankName}: {line}"));
            bool stopped = StopSignal.IsStop(code);
            Thread.Sleep(stopped ? TimeSpan.Zero : ReportGracePeriod);
            group.Abort(code, stopped ? StoppedAbortTimeout : AbortTimeout);
            return code;
        }
    }
}

/// <summary>The information a command gets about its ranks.</summary>
/// <param name="ProcessGroup">The process group.</param>
/// <param name="StartupWatchdog">Ends this rank if it is asked to stop before training starts; null for a single process.</param>
/// <param name="Identities">By rank; empty for a single process.</param>
internal sealed record RankContext(ProcessGroup ProcessGroup, StartupWatchdog? StartupWatchdog, IReadOnlyList<RankIdentity> Identities)
{
    /// <summary>The local rank on this machine, which is also the index of its CUDA device.</summary>
    public int LocalRank => Identities.Take(ProcessGroup.Shard.Rank).Count(IsLocal);

    /// <summary>The number of ranks on this machine, which share its cores and memory.</summary>
    public int LocalSize => Math.Max(1, Identities.Count(IsLocal));

    private bool IsLocal(RankIdentity one) => one.Host == Identities[ProcessGroup.Shard.Rank].Host;
}

/// <summary>The identity of a rank, exchanged at the start.</summary>
/// <param name="Host">The host name.</param>
/// <param name="ProcessId">The process id.</param>
/// <param name="Version">The version of this program.</param>
/// <param name="Mpi">The MPI library.</param>
/// <param name="ErrorLog">The error-log file on its machine, for when the launcher is gone.</param>
internal sealed record RankIdentity(string Host, int ProcessId, string Version, string Mpi, string ErrorLog)
{
    public static RankIdentity Own(MpiLibrary library, RankErrorLog words)
        => new(Environment.MachineName, Environment.ProcessId, SelfProcess.Version, library.Version, words.Path);

    /// <summary>Gathers the identities of all ranks.</summary>
    /// <exception cref="CollectiveFailureException">The program or MPI library of a rank differs from rank 0's.</exception>
    public static IReadOnlyList<RankIdentity> AllGather(ProcessGroup processGroup, RankIdentity own)
    {
        string ownJson = JsonSerializer.Serialize(own);
        RankIdentity[] all = [.. Enumerable.Range(0, processGroup.Shard.Count)
            .Select(rank => processGroup.Broadcast(rank == processGroup.Shard.Rank ? ownJson : null, rank))
            .Select(json => JsonSerializer.Deserialize<RankIdentity>(json)!)];
        foreach ((RankIdentity one, int rank) in all.Select((one, rank) => (one, rank)))
        {
            Compare("runs imta", one.Version, all[0].Version, rank);
            Compare("uses", one.Mpi, all[0].Mpi, rank);
        }

        return all;

        void Compare(string what, string its, string first, int rank)
        {
            if (its != first)
            {
                string differs = FormattableString.Invariant(
                    $"rank {rank} of {all.Length} on {all[rank].Host} {what} {its}, but rank 0 on {all[0].Host} {what} {first}");
                throw new CollectiveFailureException($"{differs}; all ranks must use the same", UsageException.ExitCode);
            }
        }
    }
}

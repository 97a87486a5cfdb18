namespace Imta.MetaWeight.Experiments.Training.Distributed;

/// <summary>The combined flags of all processes of a run.</summary>
/// <param name="Stop">Whether they stop after the current batch.</param>
/// <param name="IsCheckpointDue">Whether they write a checkpoint.</param>
/// <param name="Problem">The problem in some process; null if none.</param>
/// <param name="ExitCode">The exit code of the problem; 0 without one.</param>
internal readonly record struct CollectiveStatus(bool Stop, bool IsCheckpointDue, string? Problem, int ExitCode = 0);

/// <summary>How processes stop, save and fail together.</summary>
internal static class CollectiveStatusExtensions
{
    /// <summary>Combines the flags of all processes (logical or), so that they stop, save and fail at the same batch.</summary>
    /// <param name="processGroup">The processes.</param>
    /// <param name="stop">Whether this process was asked to stop.</param>
    /// <param name="isDue">Whether a checkpoint is due in this process.</param>
    /// <param name="problem">The problem in this process; null if none. With several problems, that of the lowest rank counts.</param>
    /// <param name="exitCode">The exit code for <paramref name="problem"/>, at least 1.</param>
    public static CollectiveStatus AllReduceFlags(
        this ProcessGroup processGroup, bool stop, bool isDue = false, string? problem = null, int exitCode = 1)
    {
        if (!processGroup.IsDistributed)
        {
            return new CollectiveStatus(stop, isDue, problem, problem is null ? 0 : exitCode);
        }

        using DisposeScope scope = NewDisposeScope();
        Tensor own = tensor(new[] { stop ? 1L : 0, isDue ? 1 : 0, problem is null ? 0 : exitCode });
        long[][] ranks = [.. processGroup.AllGather(own, "the exchange of status flags").ToArray<long>().Chunk(3)];
        int first = Array.FindIndex(ranks, flags => flags[2] != 0);
        string? shared = first < 0 ? null : processGroup.Broadcast(first == processGroup.Shard.Rank ? problem : null, first);
        return new CollectiveStatus(
            ranks.Any(flags => flags[0] != 0), ranks.Any(flags => flags[1] != 0), shared, first < 0 ? 0 : (int)ranks[first][2]);
    }

    /// <summary>Runs work in each rank; if it fails in some of them, all fail.</summary>
    /// <param name="processGroup">The processes.</param>
    /// <param name="work">The work of this rank; null if only other ranks have work.</param>
    /// <exception cref="CollectiveFailureException">It failed in one of several ranks for a reason that the user can fix.</exception>
    public static void RunCollectively(this ProcessGroup processGroup, Action? work)
    {
        Exception? failure = null;
        try
        {
            work?.Invoke();
        }
        catch (Exception e) when (processGroup.IsDistributed && e is (UsageException or IOException or UnauthorizedAccessException)
            and not RankLostException)
        {
            failure = e;
        }

        string? problem = processGroup.IsRankZero || failure is null ? failure?.Message : $"{processGroup.RankName}: {failure.Message}";
        CollectiveStatus agreed = processGroup.AllReduceFlags(
            stop: false, problem: problem, exitCode: failure is UsageException ? UsageException.ExitCode : 1);
        if (agreed.Problem is not null)
        {
            throw new CollectiveFailureException(agreed.Problem, agreed.ExitCode);
        }
    }
}

/// <summary>
/// Another rank of the run was lost or does not respond: the message says which rank detected it, what it waited for and how to resume.
/// </summary>
internal sealed class RankLostException(string message, bool stopped = false, Exception? innerException = null) : IOException(
    message, innerException), IExitCode
{
    /// <summary>The exit code of this process: failed, or interrupted if it was asked to stop.</summary>
    public int ExitCode { get; } = stopped ? StopSignal.ExitCode : 1;
}

/// <summary>A failure in one rank of a run; thrown in all ranks, and reported by rank 0.</summary>
internal class CollectiveFailureException(string message, int exitCode) : Exception(message), IExitCode
{
    public int ExitCode { get; } = exitCode;
}


namespace Imta.MetaWeight.Experiments.Training.Distributed;

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


namespace Imta.MetaWeight.Experiments.Training.Distributed;

/// <summary>Another rank of the run is gone, or does not answer: its message says which rank found it, what it waited for and how to go on.</summary>
internal sealed class LostProcessException(string message, bool stopped = false, Exception? innerException = null) : IOException(message, innerException), IExitCode
{
    /// <summary>How this process ends: as a failure, or as stopped where somebody asked it to stop.</summary>
    public int ExitCode { get; } = stopped ? Interruption.ExitCode : 1;
}

/// <summary>What is wrong with a run in one of its ranks; all of them throw it together, and the first one tells it.</summary>
internal class SharedFailureException(string message, int exitCode) : Exception(message), IExitCode
{
    public int ExitCode { get; } = exitCode;
}

using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Experiments.Training.Distributed;

/// <summary>
/// Processes that exchange tensors. All of them start the same collectives in the same order, with tensors of the same shapes and types; a
/// collective completes once all have started it.
/// </summary>
internal interface ICommunicator
{
    /// <summary>The rank of this process: 0 … <see cref="Size"/> − 1.</summary>
    int Rank { get; }

    int Size { get; }

    /// <summary>Starts an all-reduce: replaces a tensor with its sum over all processes, bit-identical in each.</summary>
    /// <param name="tensor">float32, float64 or int64, contiguous, on the CPU; the caller keeps it alive until completion.</param>
    ICollectiveWork AllReduceSum(Tensor tensor);

    /// <summary>Starts a broadcast: replaces a tensor with that of one process.</summary>
    /// <param name="tensor">Contiguous, on the CPU; the caller keeps it alive until completion.</param>
    /// <param name="root">The rank of that process.</param>
    ICollectiveWork Broadcast(Tensor tensor, int root);

    /// <summary>Shuts down in an orderly way, in all processes.</summary>
    /// <param name="exitCode">The exit code of this process, if it has to be terminated.</param>
    void Shutdown(int exitCode);

    /// <summary>Aborts all processes immediately, as far as they can be reached, and this process in any case.</summary>
    /// <param name="exitCode">The exit code of all processes.</param>
    /// <param name="timeout">How long this process waits to be terminated from outside.</param>
    void Abort(int exitCode, TimeSpan timeout);
}

/// <summary>A collective in progress.</summary>
internal interface ICollectiveWork
{
    /// <summary>Polls for completion and drives progress: nothing advances without polling.</summary>
    /// <exception cref="MpiException">It failed: a process was lost.</exception>
    bool Poll();
}

/// <summary>A collective failed; the message comes from the MPI library.</summary>
internal sealed class MpiException(string message) : ExternalException(message);

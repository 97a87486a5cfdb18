using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Experiments.Training.Distributed;

/// <summary>
/// Processes that exchange tensors. All of them begin the same exchanges in the same order, with tensors of the same shapes and types; an
/// exchange is done when all have begun it.
/// </summary>
internal interface IProcessGroup
{
    /// <summary>Which of them this process is: 0 … <see cref="Size"/> − 1.</summary>
    int Rank { get; }

    int Size { get; }

    /// <summary>Begins to replace a tensor by its sum over all processes, the same bits in each.</summary>
    /// <param name="tensor">float32, float64 or int64, contiguous, on the CPU; the caller keeps it until the exchange is done.</param>
    IExchange Sum(Tensor tensor);

    /// <summary>Begins to replace a tensor by that of one process.</summary>
    /// <param name="tensor">Contiguous, on the CPU; the caller keeps it until the exchange is done.</param>
    /// <param name="root">The rank of that process.</param>
    IExchange Broadcast(Tensor tensor, int root);

    /// <summary>The orderly end, in all of them.</summary>
    /// <param name="exitCode">This process's, where the end does not come by itself.</param>
    void Leave(int exitCode);

    /// <summary>Ends all of them at once, as far as they can be reached, and this process in any case.</summary>
    /// <param name="exitCode">Of all.</param>
    /// <param name="patience">How long this process waits for its end to come from outside.</param>
    void Abort(int exitCode, TimeSpan patience);
}

/// <summary>An exchange that was begun.</summary>
internal interface IExchange
{
    /// <summary>Looks whether it is done, and moves it on: it goes on only while somebody looks.</summary>
    /// <exception cref="MpiException">It failed: a process is gone.</exception>
    bool IsDone();
}

/// <summary>An exchange failed; its message is the library's.</summary>
internal sealed class MpiException(string message) : ExternalException(message);

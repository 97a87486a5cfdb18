using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Native;

/// <summary>By what processes exchange tensors; the numbers are those of <c>process_group.cpp</c>.</summary>
[Flags]
public enum ProcessEngines
{
    /// <summary>None: this build cannot join processes.</summary>
    None = 0,

    /// <summary>Gloo, over TCP: tensors of the CPU.</summary>
    Gloo = 1,

    /// <summary>NCCL: tensors of CUDA devices.</summary>
    Nccl = 2,
}

/// <summary>
/// One of several processes that exchange tensors, through libtorch's c10d. Every process calls the same methods in the same order with
/// tensors of the same shapes and types, and each call returns when all have called.
/// </summary>
public sealed unsafe class ProcessGroup : IDisposable
{
    private nint _handle;

    /// <summary>Joins a group, once all its processes have come.</summary>
    /// <param name="store">Where they meet; it outlives the group.</param>
    /// <param name="engine">One engine.</param>
    /// <param name="rank">Which process this is, 0 … <paramref name="size"/> − 1.</param>
    /// <param name="size">How many there are.</param>
    /// <param name="timeout">How long a call waits for the others.</param>
    /// <exception cref="ExternalException">Not all came in time, or this build does not have the engine.</exception>
    public ProcessGroup(ProcessStore store, ProcessEngines engine, int rank, int size, TimeSpan timeout)
    {
        _handle = NativeMethods.GroupNew(store.Handle, (int)engine, store.Host, store.Port, rank, size, (long)timeout.TotalMilliseconds);
        if (_handle == 0)
        {
            throw Runtime.LastError();
        }
    }

    /// <summary>The engines of this build; none where the library is not there.</summary>
    public static ProcessEngines Engines { get; } = Runtime.IsAvailable ? (ProcessEngines)NativeMethods.GroupEngines() : ProcessEngines.None;

    private nint Handle => _handle != 0 ? _handle : throw new ObjectDisposedException(nameof(ProcessGroup));

    /// <summary>Replaces tensors by their sums over all processes.</summary>
    /// <param name="tensors">Handles of contiguous tensors, whose owners the caller keeps alive.</param>
    /// <exception cref="ExternalException">A process is gone, or did not call in time; the group is of no more use.</exception>
    public void Sum(ReadOnlySpan<nint> tensors)
    {
        fixed (nint* handles = tensors)
        {
            Runtime.Check(NativeMethods.GroupSum(Handle, handles, tensors.Length));
        }
    }

    /// <summary>Replaces a tensor by that of one process.</summary>
    /// <param name="tensor">The handle of a contiguous tensor, whose owner the caller keeps alive.</param>
    /// <param name="root">The rank of that process.</param>
    /// <exception cref="ExternalException">A process is gone, or did not call in time; the group is of no more use.</exception>
    public void Broadcast(nint tensor, int root) => Runtime.Check(NativeMethods.GroupBroadcast(Handle, tensor, root));

    /// <inheritdoc/>
    public void Dispose() => NativeMethods.GroupFree(Interlocked.Exchange(ref _handle, 0));
}

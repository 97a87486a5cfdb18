using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>Work split into chunks, on libtorch's threads; the first field of the job passed to a body.</summary>
internal unsafe struct Chunks
{
    private readonly delegate*<void*, long, void*, void> _body;
    private readonly long _count;
    private readonly nint _workBytes;
    private readonly bool _isBackwards;
    private bool _hasFailed;

    /// <param name="count">The number of chunks.</param>
    /// <param name="body">Receives the job, the chunk's index, and scratch memory; must not throw.</param>
    /// <param name="workBytes">Scratch bytes per thread.</param>
    /// <param name="isBackwards">Whether to process the last chunks first, because they are still in the caches from the previous
    /// pass.</param>
    public Chunks(long count, delegate*<void*, long, void*, void> body, nint workBytes, bool isBackwards = false)
    {
        _body = body;
        (_count, _workBytes, _isBackwards) = (count, workBytes, isBackwards);
    }

    /// <summary>Runs all chunks.</summary>
    /// <param name="job">A struct whose first field is of this type.</param>
    /// <exception cref="InsufficientMemoryException">Scratch memory could not be allocated.</exception>
    public static void Run(Chunks* job)
    {
        StableAbi.ThrowOnFailure(StableAbi.torch_parallel_for(0, job->_count, 1, &RunRange, job));
        if (job->_hasFailed)
        {
            throw new InsufficientMemoryException($"could not allocate {job->_workBytes} bytes of work memory for a kernel thread.");
        }
    }

    /// <summary>Exceptions must not propagate through libtorch's frames.</summary>
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void RunRange(long begin, long end, void* context)
    {
        var job = (Chunks*)context;
        void* work;
        try
        {
            work = TensorMemory.Rent(job->_workBytes);
        }
        catch (OutOfMemoryException)
        {
            job->_hasFailed = true;
            return;
        }

        for (long k = begin; k < end; k++)
        {
            job->_body(context, job->_isBackwards ? begin + end - 1 - k : k, work);
        }

        TensorMemory.Return(work);
    }
}

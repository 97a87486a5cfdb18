using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>Work that is cut into chunks, on libtorch's threads; the first field of what a body is given.</summary>
internal unsafe struct Chunks
{
    private readonly delegate*<void*, long, void*, void> _body;
    private readonly long _count;
    private readonly nint _workBytes;
    private readonly bool _isBackwards;
    private bool _hasFailed;

    /// <param name="count">How many there are.</param>
    /// <param name="body">Takes the job, the chunk's number, and memory to work in; throws nothing.</param>
    /// <param name="workBytes">What one thread needs to work in.</param>
    /// <param name="isBackwards">Whether the last come first: they are what the caches still hold of the pass before.</param>
    public Chunks(long count, delegate*<void*, long, void*, void> body, nint workBytes, bool isBackwards = false)
    {
        _body = body;
        (_count, _workBytes, _isBackwards) = (count, workBytes, isBackwards);
    }

    /// <summary>Runs all chunks.</summary>
    /// <param name="job">Begins with a value of this type.</param>
    /// <exception cref="InsufficientMemoryException">There was no memory to work in.</exception>
    public static void Run(Chunks* job)
    {
        StableAbi.Succeed(StableAbi.torch_parallel_for(0, job->_count, 1, &RunRange, job));
        if (job->_hasFailed)
        {
            throw new InsufficientMemoryException($"no {job->_workBytes} bytes for a thread of a kernel to work in.");
        }
    }

    /// <summary>Nothing may be thrown through libtorch's frames.</summary>
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

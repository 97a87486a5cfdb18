using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>Work on the chunks of a <see cref="TilePlan"/>, on libtorch's threads; the first field of what a body is given.</summary>
internal unsafe struct Chunks
{
    private const nuint Alignment = 64;

    private readonly delegate*<void*, long, long, long, void*, void> _body;
    private readonly long _tiles, _chunkTiles;
    private readonly nuint _workBytes;
    private readonly bool _isBackwards;
    private bool _hasFailed;

    /// <param name="plan">Whose chunks they are.</param>
    /// <param name="body">Takes the job, the chunk, its first tile, the one after its last, and memory to work in; throws nothing.</param>
    /// <param name="workBytes">What one thread needs to work in.</param>
    /// <param name="isBackwards">Whether the last come first: they are what the caches still hold of the pass before.</param>
    public Chunks(in TilePlan plan, delegate*<void*, long, long, long, void*, void> body, nuint workBytes, bool isBackwards)
    {
        _body = body;
        (_tiles, _chunkTiles, _workBytes, _isBackwards) = (plan.Tiles, plan.ChunkTiles, workBytes, isBackwards);
    }

    /// <summary>Runs all chunks.</summary>
    /// <param name="job">Begins with a value of this type.</param>
    /// <exception cref="InsufficientMemoryException">There was no memory to work in.</exception>
    public static void Run(Chunks* job)
    {
        long chunks = (job->_tiles + job->_chunkTiles - 1) / job->_chunkTiles;
        StableAbi.Succeed(StableAbi.torch_parallel_for(0, chunks, 1, &RunRange, job));
        if (job->_hasFailed)
        {
            throw new InsufficientMemoryException($"batch norm and ReLU: no {job->_workBytes} bytes to work in.");
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
            work = NativeMemory.AlignedAlloc(job->_workBytes, Alignment);
        }
        catch (OutOfMemoryException)
        {
            job->_hasFailed = true;
            return;
        }

        for (long k = begin; k < end; k++)
        {
            long chunk = job->_isBackwards ? begin + end - 1 - k : k, first = chunk * job->_chunkTiles;
            job->_body(context, chunk, first, Math.Min(job->_tiles, first + job->_chunkTiles), work);
        }

        NativeMemory.AlignedFree(work);
    }
}

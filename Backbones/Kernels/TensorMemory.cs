using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// Pooled host memory for large tensors and kernel scratch space. A step requests the same blocks over and
/// over; the C allocator carves small blocks out of the gaps between them until memory is fragmented: it used 1.6 times as much for the
/// same tensors.
/// </summary>
/// <remarks>
/// Best fit: a request gets the smallest free block that is large enough; adjacent free blocks are merged. Memory is never returned to the
/// system.
/// </remarks>
internal static unsafe partial class TensorMemory
{
    private const nint Alignment = 4096; // of blocks
    private const nint RegionBytes = 1 << 28; // untouched pages are not resident
    private const nint MinBytes = 1 << 16; // smaller tensors are allocated by libtorch

    private static readonly Lock Gate = new();
    private static readonly Dictionary<nint, Block> Used = [];
    private static readonly HashSet<Block> Free = [];

    /// <summary>An uninitialised contiguous CPU tensor.</summary>
    public static Tensor Empty(ReadOnlySpan<long> shape, ScalarType type)
    {
        long bytes = type.ElementSize();
        foreach (long size in shape)
        {
            bytes *= size;
        }

        if (bytes < MinBytes)
        {
            return empty(shape, type);
        }

        void* data = Rent((nint)bytes);
        fixed (long* sizes = shape)
        {
            nint handle = THSTensor_new(data, &Returned, sizes, shape.Length, (sbyte)type, (sbyte)type, (int)DeviceType.CPU, -1, 0);
            if (handle != 0)
            {
                return Tensor.UnsafeCreateTensor(handle);
            }

            Return(data);
            throw StableAbi.Failure($"libtorch could not create a tensor of {bytes} bytes.");
        }
    }

    /// <summary>Page-aligned memory, to be returned with <see cref="Return"/>.</summary>
    /// <exception cref="OutOfMemoryException">There is not enough memory.</exception>
    public static void* Rent(nint bytes)
    {
        nint size = Math.Max(Alignment, (bytes + Alignment - 1) / Alignment * Alignment);
        lock (Gate)
        {
            Block? best = null;
            foreach (Block block in Free)
            {
                if (block.Size >= size && (best is null || (block.Size, block.Start).CompareTo((best.Size, best.Start)) < 0))
                {
                    best = block;
                }
            }

            best ??= Grow(size);
            Free.Remove(best);
            if (best.Size > size)
            {
                Free.Add(best.CutAt(size));
            }

            Used.Add(best.Start, best);
            return (void*)best.Start;
        }
    }

    /// <summary>Returns memory obtained from <see cref="Rent"/>.</summary>
    public static void Return(void* start)
    {
        lock (Gate)
        {
            Used.Remove((nint)start, out Block? block);
            if (block!.Next is { } next && Free.Remove(next))
            {
                block.Join(next);
            }

            if (block.Previous is { } previous && Free.Remove(previous))
            {
                previous.Join(block);
                block = previous;
            }

            Free.Add(block);
        }
    }

    private static Block Grow(nint size)
    {
        nint bytes = Math.Max(size, RegionBytes);
        return new Block { Start = (nint)NativeMemory.AlignedAlloc((nuint)bytes, (nuint)Alignment), Size = bytes };
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Returned(void* data) => Return(data);

    /// <summary>
    /// The native function that TorchSharp uses to create tensors from arrays; the deleter runs when the last tensor in that memory is
    /// freed.
    /// </summary>
    [LibraryImport("LibTorchSharp")]
    private static partial nint THSTensor_new(
        void* data, delegate* unmanaged[Cdecl]<void*, void> deleter, long* sizes, int dimensions, sbyte type, sbyte asType, int deviceType,
        int deviceIndex, byte requiresGrad);

    /// <summary>A block of a region, linked to its neighbours.</summary>
    private sealed class Block
    {
        public nint Start { get; init; }

        public nint Size { get; set; }

        public Block? Previous { get; set; }

        public Block? Next { get; set; }

        /// <summary>Splits off what follows the first bytes as a new block.</summary>
        public Block CutAt(nint size)
        {
            var rest = new Block { Start = Start + size, Size = Size - size, Previous = this, Next = Next };
            if (Next is { } next)
            {
                next.Previous = rest;
            }

            (Size, Next) = (size, rest);
            return rest;
        }

        /// <summary>Merges with the next block.</summary>
        public void Join(Block next)
        {
            (Size, Next) = (Size + next.Size, next.Next);
            if (Next is { } after)
            {
                after.Previous = this;
            }
        }
    }
}

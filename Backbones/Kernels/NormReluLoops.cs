using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>The arguments of a pass over all rows.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct NormReluJob<T>
    where T : unmanaged
{
    public Chunks Chunks; // must be first: see Chunks.Run
    public TilePlan Plan;
    public Rows<T> Z;

    /// <summary>A gradient or direction, to which <see cref="More"/> is added. Either may be empty.</summary>
    public Rows<T> Change, More;

    public Rows<T> Written;

    /// <summary>The values shared by all tiles.</summary>
    public Runs<T> Runs;

    /// <summary>The 2·C sums of each chunk.</summary>
    public double* Partial;
}

/// <summary>The passes over the tiles of a chunk.</summary>
/// <remarks>Fully optimised on first compilation: there are few of them, and they run long.</remarks>
internal static unsafe class NormReluLoops<T>
    where T : unmanaged, IBinaryFloatingPointIeee754<T>
{
    /// <summary>The number of scratch tiles, for copies and sums.</summary>
    public const int WorkTiles = 5;

    private const int ReadTiles = 3; // of these, for inputs
    private const long FoldTiles = 16; // tiles that a lane accumulates in the element precision

    /// <summary>Writes the result of the step for each tile.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Write<TStep>(void* context, long chunk, void* work)
        where TStep : struct, IStep<T>
    {
        var job = (NormReluJob<T>*)context;
        Runs<T> runs = job->Runs;
        (long begin, long end) = job->Plan.TilesOf(chunk);
        for (long tile = begin; tile < end; tile++)
        {
            Read(job, tile, (T*)work, &runs);
            runs.Target = Tile.Place(job->Plan, job->Written, tile, (T*)work + (ReadTiles * job->Plan.Width));
            Sweep.Over<T, TStep>(job->Plan.ElementsOf(tile), &runs);
            Tile.Scatter(job->Plan, job->Written, tile, runs.Target);
        }
    }

    /// <summary>
    /// Computes the step's two sums per channel: a lane accumulates some tiles in the element precision, then the lanes of a channel are
    /// added pairwise, and the final sum is in double. The order depends only on the plan.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Sum<TStep>(void* context, long chunk, void* work)
        where TStep : struct, IStep<T>
    {
        var job = (NormReluJob<T>*)context;
        Runs<T> runs = job->Runs;
        (long begin, long end) = job->Plan.TilesOf(chunk);
        runs.First = (T*)work + (ReadTiles * job->Plan.Width);
        runs.Second = runs.First + job->Plan.Width;
        Unsafe.InitBlockUnaligned(runs.First, 0, (uint)(2 * job->Plan.Width * sizeof(T)));
        for (long tile = begin; tile < end; tile++)
        {
            Read(job, tile, (T*)work, &runs);
            Sweep.Over<T, TStep>(job->Plan.ElementsOf(tile), &runs);
            if ((tile + 1 - begin) % FoldTiles == 0 || tile + 1 == end)
            {
                double* sums = job->Partial + (2 * chunk * job->Plan.Channels);
                Fold(job->Plan, runs.First, sums);
                Fold(job->Plan, runs.Second, sums + job->Plan.Channels);
            }
        }
    }

    /// <summary>Points the runs at a tile's inputs; the copies are of Z, Change and More.</summary>
    /// <remarks>The call keeps the runs in memory, leaving the registers for the innermost loop.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Read(NormReluJob<T>* job, long tile, T* copies, Runs<T>* runs)
    {
        runs->Z = Tile.Gather(job->Plan, job->Z, tile, copies);
        if (job->Change.Data != null)
        {
            runs->Change = Tile.Gather(job->Plan, job->Change, tile, copies + job->Plan.Width);
        }

        if (job->More.Data != null)
        {
            runs->More = Tile.Gather(job->Plan, job->More, tile, copies + (2 * job->Plan.Width));
        }
    }

    /// <summary>Adds the lanes to the sums, and clears the lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Fold(in TilePlan plan, T* lanes, double* sums)
    {
        for (long half = plan.TileRows / 2; half > 0; half /= 2)
        {
            nint count = (nint)(half * plan.Channels);
            var runs = new Runs<T> { Z = lanes, Change = lanes + count, Target = lanes };
            Sweep.Over<T, AddStep<T>>(count, &runs);
        }

        AddWidened(lanes, sums, (nint)plan.Channels);
        Unsafe.InitBlockUnaligned(lanes, 0, (uint)(plan.Width * sizeof(T)));
    }

    /// <summary>Adds a row of lanes to the sums, each separately, so that the vector width does not matter.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddWidened(T* lanes, double* sums, nint channels)
    {
        nint c = 0;
        if (typeof(T) == typeof(float) && Vector.IsHardwareAccelerated)
        {
            for (; c <= channels - Vector<float>.Count; c += Vector<float>.Count)
            {
                Vector.Widen(Vector.Load((float*)lanes + c), out Vector<double> low, out Vector<double> high);
                (low + Vector.Load(sums + c)).Store(sums + c);
                (high + Vector.Load(sums + c + Vector<double>.Count)).Store(sums + c + Vector<double>.Count);
            }
        }

        for (; c < channels; c++)
        {
            sums[c] += double.CreateTruncating(lanes[c]);
        }
    }
}

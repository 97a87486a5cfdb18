using System.Numerics;
using System.Runtime.CompilerServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// The passes over the tiles of a chunk. Those that sum leave two sums for each channel: a lane adds up some tiles in its own precision,
/// then the lanes of a channel are added pair by pair and the last step is in double.
/// </summary>
/// <remarks>Compiled at once with all optimisations: they are few, and long when they run.</remarks>
internal static unsafe class NormReluLoops<T>
    where T : unmanaged, IBinaryFloatingPointIeee754<T>
{
    /// <summary>The tiles that a pass may have to copy or to sum in.</summary>
    public const int WorkTiles = 5;

    /// <summary>Sums of z − centre and of its square; the centre stands for the mean.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Moments(void* context, long chunk, long begin, long end, void* work)
    {
        var job = (NormReluJob<T>*)context;
        var lanes = new LaneSums<T>(job->Plan, (T*)work, job->Partial + (2 * chunk * job->Plan.Channels));
        for (long tile = begin; tile < end; tile++)
        {
            T* z = Tile.Gather(job->Plan, job->Z, tile, lanes.Rest);
            Sweep.Over<T, MomentsStep<T>>(Count(job, tile), new(z, job->By.Mean, lanes.First, lanes.Second));
            lanes.FoldAt(tile + 1 - begin, tile + 1 == end);
        }
    }

    /// <summary>y = max(0, z · scale + shift).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Activation(void* context, long chunk, long begin, long end, void* work)
    {
        var job = (NormReluJob<T>*)context;
        T* copies = (T*)work;
        for (long tile = begin; tile < end; tile++)
        {
            T* z = Tile.Gather(job->Plan, job->Z, tile, copies), y = Tile.Place(job->Plan, job->Written, tile, copies + job->Plan.Width);
            Sweep.Over<T, ActivationStep<T>>(Count(job, tile), new(z, job->By, y));
            Tile.Scatter(job->Plan, job->Written, tile, y);
        }
    }

    /// <summary>Sums of m = mask · g and of m · (z − mean).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void GradientSums(void* context, long chunk, long begin, long end, void* work)
    {
        var job = (NormReluJob<T>*)context;
        var lanes = new LaneSums<T>(job->Plan, (T*)work, job->Partial + (2 * chunk * job->Plan.Channels));
        for (long tile = begin; tile < end; tile++)
        {
            T* g = Tile.Gather(job->Plan, job->Change, tile, lanes.Rest);
            T* z = Tile.Gather(job->Plan, job->Z, tile, lanes.Rest + job->Plan.Width);
            Sweep.Over<T, GradientSumsStep<T>>(Count(job, tile), new(g, z, job->By, lanes.First, lanes.Second));
            lanes.FoldAt(tile + 1 - begin, tile + 1 == end);
        }
    }

    /// <summary>∂/∂z = scale · mask · g + slope · (z − mean) + offset.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Gradient(void* context, long chunk, long begin, long end, void* work)
    {
        var job = (NormReluJob<T>*)context;
        T* copies = (T*)work;
        for (long tile = begin; tile < end; tile++)
        {
            T* g = Tile.Gather(job->Plan, job->Change, tile, copies), z = Tile.Gather(job->Plan, job->Z, tile, copies + job->Plan.Width);
            T* target = Tile.Place(job->Plan, job->Written, tile, copies + (2 * job->Plan.Width));
            Sweep.Over<T, GradientStep<T>>(Count(job, tile), new(g, z, job->By, target));
            Tile.Scatter(job->Plan, job->Written, tile, target);
        }
    }

    /// <summary>Sums of t = t1 + t2 and of t · (z − mean).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void TangentSums(void* context, long chunk, long begin, long end, void* work)
    {
        var job = (NormReluJob<T>*)context;
        var lanes = new LaneSums<T>(job->Plan, (T*)work, job->Partial + (2 * chunk * job->Plan.Channels));
        for (long tile = begin; tile < end; tile++)
        {
            T* t = Tile.Gather(job->Plan, job->Change, tile, lanes.Rest);
            T* z = Tile.Gather(job->Plan, job->Z, tile, lanes.Rest + job->Plan.Width);
            if (job->More.Data == null)
            {
                var step = new TangentSumsStep<T, WholeDirection<T>>(new(t), z, job->By.Mean, lanes.First, lanes.Second);
                Sweep.Over<T, TangentSumsStep<T, WholeDirection<T>>>(Count(job, tile), step);
            }
            else
            {
                T* more = Tile.Gather(job->Plan, job->More, tile, lanes.Rest + (2 * job->Plan.Width));
                var step = new TangentSumsStep<T, SplitDirection<T>>(new(t, more), z, job->By.Mean, lanes.First, lanes.Second);
                Sweep.Over<T, TangentSumsStep<T, SplitDirection<T>>>(Count(job, tile), step);
            }

            lanes.FoldAt(tile + 1 - begin, tile + 1 == end);
        }
    }

    /// <summary>ẏ = mask · (scale · t + slope · (z − mean) + offset).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Tangent(void* context, long chunk, long begin, long end, void* work)
    {
        var job = (NormReluJob<T>*)context;
        T* copies = (T*)work;
        for (long tile = begin; tile < end; tile++)
        {
            T* t = Tile.Gather(job->Plan, job->Change, tile, copies), z = Tile.Gather(job->Plan, job->Z, tile, copies + job->Plan.Width);
            T* target = Tile.Place(job->Plan, job->Written, tile, copies + (2 * job->Plan.Width));
            if (job->More.Data == null)
            {
                Sweep.Over<T, TangentStep<T, WholeDirection<T>>>(Count(job, tile), new(new(t), z, job->By, target));
            }
            else
            {
                T* more = Tile.Gather(job->Plan, job->More, tile, copies + (3 * job->Plan.Width));
                Sweep.Over<T, TangentStep<T, SplitDirection<T>>>(Count(job, tile), new(new(t, more), z, job->By, target));
            }

            Tile.Scatter(job->Plan, job->Written, tile, target);
        }
    }

    /// <summary>Adds the change to what is written.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Add(void* context, long chunk, long begin, long end, void* work)
    {
        var job = (NormReluJob<T>*)context;
        T* copies = (T*)work;
        for (long tile = begin; tile < end; tile++)
        {
            T* change = Tile.Gather(job->Plan, job->Change, tile, copies);
            T* sum = Tile.Gather(job->Plan, job->Written, tile, copies + job->Plan.Width);
            Sweep.Over<T, AddStep<T>>(Count(job, tile), new(change, sum, sum));
            Tile.Scatter(job->Plan, job->Written, tile, sum);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static nint Count(NormReluJob<T>* job, long tile) => (nint)(job->Plan.RowsOf(tile) * job->Plan.Channels);
}

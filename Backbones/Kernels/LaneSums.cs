using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>Two sums for each channel over the tiles of a chunk. They are added to in an order that depends on the plan alone.</summary>
internal readonly unsafe struct LaneSums<T>
    where T : unmanaged, IBinaryFloatingPointIeee754<T>
{
    /// <summary>A lane adds up this many tiles in its own precision.</summary>
    private const long FoldTiles = 16;

    private readonly long _tileRows;
    private readonly long _channels;
    private readonly double* _sums; // [2, C]

    /// <param name="plan">How the rows are cut.</param>
    /// <param name="work">Memory for the lanes and what is behind them.</param>
    /// <param name="sums">Zeros <c>[2, C]</c>, added to.</param>
    public LaneSums(in TilePlan plan, T* work, double* sums)
    {
        (_tileRows, _channels) = (plan.TileRows, plan.Channels);
        _sums = sums;
        First = work;
        Second = work + plan.Width;
        Rest = work + (2 * plan.Width);
        Unsafe.InitBlockUnaligned(work, 0, (uint)(2 * plan.Width * sizeof(T)));
    }

    /// <summary>A tile's lanes of the first sum.</summary>
    public T* First { get; }

    /// <summary>A tile's lanes of the second sum.</summary>
    public T* Second { get; }

    /// <summary>Memory that the lanes don't need.</summary>
    public T* Rest { get; }

    /// <summary>To be called after each tile: adds the lanes to the sums when it is time.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void FoldAt(long tiles, bool isLast)
    {
        if (tiles % FoldTiles == 0 || isLast)
        {
            Fold(First, _sums);
            Fold(Second, _sums + _channels);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Fold(T* lanes, double* sums)
    {
        for (long half = _tileRows / 2; half > 0; half /= 2)
        {
            nint count = (nint)(half * _channels);
            Sweep.Over<T, AddStep<T>>(count, new(lanes, lanes + count, lanes));
        }

        AddWidened(lanes, sums);
        Unsafe.InitBlockUnaligned(lanes, 0, (uint)(_tileRows * _channels * sizeof(T)));
    }

    /// <summary>Adds a row of lanes to the sums; each by itself, so that the width does not matter.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void AddWidened(T* lanes, double* sums)
    {
        nint c = 0, channels = (nint)_channels;
        if (typeof(T) == typeof(float))
        {
            var singles = (float*)lanes;
            for (; Vector512.IsHardwareAccelerated && c <= channels - Vector512<double>.Count; c += Vector512<double>.Count)
            {
                (Vector512.WidenLower(Vector256.Load(singles + c).ToVector512Unsafe()) + Vector512.Load(sums + c)).Store(sums + c);
            }

            for (; Vector256.IsHardwareAccelerated && c <= channels - Vector256<double>.Count; c += Vector256<double>.Count)
            {
                (Vector256.WidenLower(Vector128.Load(singles + c).ToVector256Unsafe()) + Vector256.Load(sums + c)).Store(sums + c);
            }
        }

        for (; c < channels; c++)
        {
            sums[c] += double.CreateTruncating(lanes[c]);
        }
    }
}

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

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void AddWidened(T* lanes, double* sums)
    {
        long c = 0;
        if (typeof(T) == typeof(float))
        {
            for (; c <= _channels - Vector128<float>.Count; c += Vector128<float>.Count)
            {
                (Vector128<double> lower, Vector128<double> upper) = Vector128.Widen(Vector128.Load((float*)lanes + c));
                (Vector128.Load(sums + c) + lower).Store(sums + c);
                (Vector128.Load(sums + c + 2) + upper).Store(sums + c + 2);
            }
        }

        for (; c < _channels; c++)
        {
            sums[c] += double.CreateTruncating(lanes[c]);
        }
    }
}

using System.Runtime.CompilerServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// Tiles of rows as one run of elements each: where they lie, or copied together where there are gaps between their rows.
/// </summary>
internal static unsafe class Tile
{
    private const int LongPiece = 64, ShortPiece = 16; // bytes

    /// <summary>A tile to read.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T* Gather<T>(in TilePlan plan, Rows<T> rows, long tile, T* copy)
        where T : unmanaged
    {
        T* source = rows.Data + (tile * plan.TileRows * rows.Stride);
        if (IsRun(plan, rows))
        {
            return source;
        }

        Copy(source, rows.Stride, copy, plan.Channels, plan.RowsOf(tile), plan.Channels);
        return copy;
    }

    /// <summary>A tile to write; if it is the copy, <see cref="Scatter"/> takes it where it belongs.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T* Place<T>(in TilePlan plan, Rows<T> rows, long tile, T* copy)
        where T : unmanaged
        => IsRun(plan, rows) ? rows.Data + (tile * plan.TileRows * rows.Stride) : copy;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Scatter<T>(in TilePlan plan, Rows<T> rows, long tile, T* copy)
        where T : unmanaged
    {
        if (!IsRun(plan, rows))
        {
            Copy(copy, plan.Channels, rows.Data + (tile * plan.TileRows * rows.Stride), rows.Stride, plan.RowsOf(tile), plan.Channels);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool IsRun<T>(in TilePlan plan, Rows<T> rows)
        where T : unmanaged
        => plan.TileRows == 1 || rows.Stride == plan.Channels;

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Copy<T>(T* source, long sourceStride, T* target, long targetStride, long rows, long channels)
        where T : unmanaged
    {
        nint from = (nint)sourceStride * sizeof(T), to = (nint)targetStride * sizeof(T), bytes = (nint)channels * sizeof(T);
        if (bytes >= LongPiece)
        {
            CopyPieces<Long>((byte*)source, from, (byte*)target, to, rows, bytes);
        }
        else if (bytes >= ShortPiece)
        {
            CopyPieces<Short>((byte*)source, from, (byte*)target, to, rows, bytes);
        }
        else
        {
            for (long c = 0; c < channels; c++)
            {
                for (long row = 0; row < rows; row++)
                {
                    target[(row * targetStride) + c] = source[(row * sourceStride) + c];
                }
            }
        }
    }

    /// <summary>Copies rows in pieces of one size, the last overlapping the one before it: nothing outside the rows is touched.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void CopyPieces<TPiece>(byte* source, nint sourceStride, byte* target, nint targetStride, long rows, nint bytes)
        where TPiece : unmanaged
    {
        nint last = bytes - sizeof(TPiece);
        for (long row = 0; row < rows; row++, source += sourceStride, target += targetStride)
        {
            for (nint i = 0; i < last; i += sizeof(TPiece))
            {
                Unsafe.CopyBlockUnaligned(target + i, source + i, (uint)sizeof(TPiece));
            }

            Unsafe.CopyBlockUnaligned(target + last, source + last, (uint)sizeof(TPiece));
        }
    }

    [InlineArray(LongPiece)]
    private struct Long
    {
        private byte _first;
    }

    [InlineArray(ShortPiece)]
    private struct Short
    {
        private byte _first;
    }
}

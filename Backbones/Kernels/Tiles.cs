using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>Rows with adjacent channels; each row starts <paramref name="stride"/> elements after the previous one.</summary>
internal readonly unsafe struct Rows<T>(T* data, long stride)
    where T : unmanaged
{
    public T* Data { get; } = data;

    public long Stride { get; } = stride;
}

/// <summary>
/// How M rows of C channels are tiled. It depends only on shape and element type, so that sums are identical regardless of threads,
/// strides or vector width.
/// </summary>
internal readonly struct TilePlan
{
    private const long VectorBytes = 64; // the widest vectors
    private const long LeastVectors = 32; // per tile, unless its rows fill vectors anyway
    private const long MostVectors = 128; // per tile of several rows
    private const long ChunkElements = 1 << 15; // enough work for a thread
    private const long MostChunks = 64; // each has partial sums

    public TilePlan(long rows, long channels, int elementBytes)
    {
        long lanes = VectorBytes / elementBytes;
        (Rows, Channels) = (rows, channels);
        TileRows = lanes / Math.Min(lanes, 1L << BitOperations.TrailingZeroCount(channels)); // the smallest whole number of vectors
        bool fillsVectors = TileRows == 1 && channels >= 4 * lanes;
        while (!fillsVectors && 2 * TileRows * channels <= LeastVectors * lanes)
        {
            TileRows *= 2;
        }

        if (TileRows * channels > MostVectors * lanes)
        {
            TileRows = 1;
        }

        Width = TileRows * channels;
        Tiles = (rows + TileRows - 1) / TileRows;
        ChunkTiles = Math.Min(Tiles, Math.Max((ChunkElements + Width - 1) / Width, (Tiles + MostChunks - 1) / MostChunks));
        Chunks = (Tiles + ChunkTiles - 1) / ChunkTiles;
    }

    public long Rows { get; }

    public long Channels { get; }

    /// <summary>Rows per tile, a power of two, processed as one run, so that even few channels fill vectors.</summary>
    public long TileRows { get; }

    /// <summary>Elements of a tile.</summary>
    public long Width { get; }

    /// <summary>The number of tiles; the last may be smaller.</summary>
    public long Tiles { get; }

    /// <summary>Tiles per chunk, which is the unit of work of a thread.</summary>
    public long ChunkTiles { get; }

    public long Chunks { get; }

    /// <summary>A chunk's first tile and the one after its last.</summary>
    public (long Begin, long End) TilesOf(long chunk) => (chunk * ChunkTiles, Math.Min(Tiles, (chunk + 1) * ChunkTiles));

    /// <summary>Rows of one tile.</summary>
    public long RowsOf(long tile) => Math.Min(TileRows, Rows - (tile * TileRows));

    /// <summary>Elements of one tile.</summary>
    public nint ElementsOf(long tile) => (nint)(RowsOf(tile) * Channels);
}

/// <summary>
/// Tiles of rows as one run of elements each: in place, or copied if there are gaps between the rows.
/// </summary>
internal static unsafe class Tile
{
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

    /// <summary>A tile to write; if it is a copy, <see cref="Scatter"/> writes it to its destination.</summary>
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
        if (bytes >= sizeof(Vector512<byte>))
        {
            CopyPieces<Vector512<byte>>((byte*)source, from, (byte*)target, to, rows, bytes);
        }
        else if (bytes >= sizeof(Vector128<byte>))
        {
            CopyPieces<Vector128<byte>>((byte*)source, from, (byte*)target, to, rows, bytes);
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

    /// <summary>Copies rows in fixed-size pieces, the last overlapping its predecessor: nothing outside the rows is touched.</summary>
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
}

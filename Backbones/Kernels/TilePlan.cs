using System.Numerics;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// How M rows of C channels are cut. It follows from shape and element type alone, so that sums come out the same whatever the threads, the
/// strides or the width of vectors.
/// </summary>
internal readonly struct TilePlan
{
    private const long VectorBytes = 64; // the widest vectors
    private const long LeastVectors = 32; // of a tile, unless its rows fill vectors by themselves
    private const long MostVectors = 128; // of a tile of several rows
    private const long ChunkElements = 1 << 15; // enough to be worth a thread
    private const long MostChunks = 64; // each has partial sums

    public TilePlan(long rows, long channels, int elementBytes)
    {
        long lanes = VectorBytes / elementBytes;
        (Rows, Channels) = (rows, channels);
        TileRows = lanes / Math.Min(lanes, 1L << BitOperations.TrailingZeroCount(channels)); // the least whole number of vectors
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

    /// <summary>A power of two; a tile's rows are treated as one run, so that few channels fill vectors too.</summary>
    public long TileRows { get; }

    /// <summary>Elements of a tile.</summary>
    public long Width { get; }

    /// <summary>The last may be cut short.</summary>
    public long Tiles { get; }

    /// <summary>What one thread takes at a time.</summary>
    public long ChunkTiles { get; }

    public long Chunks { get; }

    /// <summary>Rows of one tile.</summary>
    public long RowsOf(long tile) => Math.Min(TileRows, Rows - (tile * TileRows));
}

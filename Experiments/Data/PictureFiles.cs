using Imta.MetaWeight.Experiments.Data.Pictures;

namespace Imta.MetaWeight.Experiments.Data;

/// <summary>The picture files of a data set, each a number; they are read when somebody wants them.</summary>
internal sealed class PictureFiles
{
    private const int StringBytes = 32; // of a string but for its letters, and of the place that holds it

    private readonly string _root;
    private readonly PictureBatches _batches;

    /// <param name="root">The folder that the names are below.</param>
    /// <param name="names">Paths below the root, by number.</param>
    /// <param name="shape">What the network sees of a picture.</param>
    /// <param name="workers">Threads that decode; 0: as many as libtorch computes by, this process's share of the cores.</param>
    /// <param name="tally">Counts what is read.</param>
    /// <param name="mayMiss">Whether a file that cannot be opened is one that cannot be read, and no end of it all.</param>
    public PictureFiles(string root, IReadOnlyList<string> names, PictureShape shape, int workers, PictureTally tally, bool mayMiss = false)
    {
        int threads = workers == 0 ? get_num_threads() : workers;
        ThreadPool.GetMinThreads(out int ready, out int ports);
        ThreadPool.SetMinThreads(Math.Max(ready, threads), ports); // more than cores wait for a file system: they come at once
        (_root, Names, Shape, _batches) = (root, names, shape, new PictureBatches(threads, shape, tally, mayMiss));
    }

    /// <summary>Paths below the folder, by number.</summary>
    public IReadOnlyList<string> Names { get; }

    /// <summary>What the network sees of a picture.</summary>
    public PictureShape Shape { get; }

    /// <summary>Bytes of a picture that was read.</summary>
    public long Bytes => 3L * Shape.Side * Shape.Side;

    /// <summary>Bytes of the names in memory.</summary>
    public long NameBytes => Names.Sum(name => (sizeof(char) * (long)name.Length) + StringBytes);

    /// <summary>Where a picture lies.</summary>
    /// <param name="number">0 … as many as there are names.</param>
    public string PathOf(long number) => Path.Combine(_root, Names[(int)number]);

    /// <summary>A batch to read.</summary>
    /// <param name="numbers">N pictures.</param>
    /// <param name="draws">Crops and flips; null: as in evaluation.</param>
    /// <param name="rows">N rows for who takes the batch.</param>
    public PictureJob Job(IEnumerable<long> numbers, PictureDraws? draws, long[] rows) => new([.. numbers.Select(PathOf)], draws, rows);

    /// <inheritdoc cref="PictureBatches.Read"/>
    public IEnumerable<(PictureJob Job, Tensor Pixels)> Read(IEnumerable<PictureJob> jobs) => _batches.Read(jobs);
}

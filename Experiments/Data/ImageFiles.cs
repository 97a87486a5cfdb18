using Imta.MetaWeight.Experiments.Data.Pictures;

namespace Imta.MetaWeight.Experiments.Data;

/// <summary>The image files of a data set, by index; read lazily.</summary>
internal sealed class ImageFiles
{
    private const int MinUnreadable = 5; // fewer do not stop a pass over a small part of the images
    private const int StringBytes = 32; // overhead of a string and of the reference to it

    private readonly string _root;
    private readonly ImageBatchLoader _batches;
    private readonly ImageReadStatistics _tally;
    private readonly bool _skipMissing;
    private readonly string _dataset;

    /// <param name="root">The root folder of the names.</param>
    /// <param name="names">Paths relative to the root, by index.</param>
    /// <param name="shape">The evaluation transform.</param>
    /// <param name="workers">Decoding threads; 0: as many as libtorch's threads, this process's share of the cores.</param>
    /// <param name="tally">Counts the images read.</param>
    /// <param name="skipMissing">Whether a file that cannot be opened counts as undecodable instead of failing.</param>
    /// <param name="dataset">The argument of <c>imta data</c> that checks all of them.</param>
    public ImageFiles(
        string root, IReadOnlyList<string> names, ImageTransform shape, int workers, ImageReadStatistics tally, bool skipMissing = false,
        string dataset = "imagenet")
    {
        int threads = workers == 0 ? get_num_threads() : workers;
        ThreadPool.GetMinThreads(out int ready, out int ports);
        ThreadPool.SetMinThreads(Math.Max(ready, threads), ports); // more threads than cores, as they wait for I/O: start them at once
        (_root, Names, Shape, _batches) = (root, names, shape, new ImageBatchLoader(threads, shape, tally, skipMissing));
        (_tally, _skipMissing, _dataset) = (tally, skipMissing, dataset);
    }

    /// <summary>Paths relative to the folder, by index.</summary>
    public IReadOnlyList<string> Names { get; }

    /// <summary>The evaluation transform.</summary>
    public ImageTransform Shape { get; }

    /// <summary>Bytes of a decoded image.</summary>
    public long Bytes => 3L * Shape.Side * Shape.Side;

    /// <summary>Bytes of the names in memory.</summary>
    public long NameBytes => Names.Sum(name => (sizeof(char) * (long)name.Length) + StringBytes);

    /// <summary>The path of an image.</summary>
    /// <param name="number">The index of the file.</param>
    public string PathOf(long number) => Path.Combine(_root, Names[(int)number]);

    /// <summary>Creates a request for a batch.</summary>
    /// <param name="numbers">The N image indices.</param>
    /// <param name="draws">Random crops and flips; null: the evaluation transform.</param>
    /// <param name="rows">The N rows, for the consumer.</param>
    public ImageBatchRequest Job(IEnumerable<long> numbers, RandomCropDraws? draws, long[] rows)
        => new([.. numbers.Select(PathOf)], draws, rows);

    /// <inheritdoc cref="ImageBatchLoader.Read"/>
    /// <exception cref="IOException">A file cannot be opened, or more than a tenth cannot be decoded: black images are useless.</exception>
    public IEnumerable<(ImageBatchRequest Job, Tensor Pixels)> Read(IEnumerable<ImageBatchRequest> jobs)
    {
        int read = 0, failed = 0;
        foreach ((ImageBatchRequest job, Tensor pixels) in _batches.Read(jobs))
        {
            read += job.Files.Count;
            failed += job.Files.Count(_tally.Unreadable.Contains);
            if (!_skipMissing && failed > Names.Count / 10)
            {
                pixels.Dispose();
                throw TooManyUnreadable(failed, Names.Count);
            }

            yield return (job, pixels);
        }

        if (!_skipMissing && failed > MinUnreadable && failed > read / 10) // a part of the images, or of an epoch, was read
        {
            throw TooManyUnreadable(failed, read);
        }
    }

    private IOException TooManyUnreadable(int failed, int all)
    {
        string check = SelfProcess.CommandLine("data", _dataset, "--check", Path.GetDirectoryName(_root) ?? _root);
        string found = FormattableString.Invariant($"{failed} of the {all} images in {_root} cannot be read");
        return new IOException($"{found}, which is more than a tenth; replace them ({check} names all)");
    }
}

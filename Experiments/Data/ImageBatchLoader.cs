using System.Buffers;
using System.Collections.Concurrent;
using System.Runtime.ExceptionServices;
using Imta.MetaWeight.Experiments.Data.Pictures;

namespace Imta.MetaWeight.Experiments.Data;

/// <summary>A request for a batch of images.</summary>
/// <param name="Files">N paths.</param>
/// <param name="Draws">Random crops and flips; null: the evaluation transform.</param>
/// <param name="Rows">N: the rows in the data set, for the consumer.</param>
internal sealed record ImageBatchRequest(IReadOnlyList<string> Files, RandomCropDraws? Draws, long[] Rows);

/// <summary>
/// Decodes batches of images in several threads, prefetching in order: which thread decodes which image does not affect the result. At most
/// <see cref="PrefetchCount"/> batches are queued, one more is being decoded, and one is being consumed, however slow the consumer is.
/// </summary>
internal sealed class ImageBatchLoader
{
    /// <summary>The maximum number of queued batches.</summary>
    public const int PrefetchCount = 2;

    private const int MaxFileBytes = 1 << 30; // bytes; far above any image the reader accepts

    private readonly int _threads;
    private readonly ImageTransform _shape;
    private readonly ImageReadStatistics _tally;
    private readonly bool _mayMiss;
    private readonly ConcurrentBag<byte[]> _free = []; // image buffers, reused while reading

    /// <param name="threads">The number of decoding threads.</param>
    /// <param name="shape">The evaluation transform.</param>
    /// <param name="tally">Counts images on the consumer's thread, in order.</param>
    /// <param name="skipMissing">Whether a file that cannot be opened counts as undecodable instead of failing.</param>
    public ImageBatchLoader(int threads, ImageTransform shape, ImageReadStatistics tally, bool skipMissing = false)
        => (_threads, _shape, _tally, _mayMiss) = (threads, shape, tally, skipMissing);

    /// <summary>
    /// uint8 <c>[N, 3, side, side]</c> on the CPU for each job; an image that cannot be decoded is black, and a damaged one is decoded as
    /// far as possible, where torchvision's loaders would abort training. The caller disposes each batch.
    /// </summary>
    /// <param name="jobs">Enumerated on another thread.</param>
    /// <exception cref="IOException">A file cannot be opened and missing files are not allowed: a missing folder must not turn into black
    /// images.</exception>
    public IEnumerable<(ImageBatchRequest Job, Tensor Pixels)> Read(IEnumerable<ImageBatchRequest> jobs)
    {
        using var stop = new CancellationTokenSource();
        using var ready = new BlockingCollection<DecodedBatch>(PrefetchCount);
        Task making = Task.Factory.StartNew(
            () => Make(jobs, ready, stop.Token), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        try
        {
            foreach ((ImageBatchRequest job, byte[][] buffers, ImageReadOutcome[] outcomes) in ready.GetConsumingEnumerable())
            {
                foreach ((string file, ImageReadOutcome outcome) in job.Files.Zip(outcomes))
                {
                    _tally.Add(file, outcome);
                }

                yield return (job, Pixels(buffers));
            }

            making.GetAwaiter().GetResult(); // rethrows its exception
        }
        finally
        {
            stop.Cancel();
            ((IAsyncResult)making).AsyncWaitHandle.WaitOne();
            _free.Clear();
        }
    }

    private Tensor Pixels(byte[][] buffers)
    {
        Tensor pixels = empty([buffers.Length, 3, _shape.Side, _shape.Side], ScalarType.Byte);
        for (int sample = 0; sample < buffers.Length; sample++)
        {
            using Tensor planes = pixels.select(0, sample);
            buffers[sample].CopyTo(planes.bytes);
            _free.Add(buffers[sample]);
        }

        return pixels;
    }

    private void Make(IEnumerable<ImageBatchRequest> jobs, BlockingCollection<DecodedBatch> ready, CancellationToken stop)
    {
        try
        {
            foreach (ImageBatchRequest job in jobs)
            {
                ready.Add(Decoded(job, stop), stop);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // The consumer is gone.
        }
        catch (AggregateException e)
        {
            ExceptionDispatchInfo.Throw(e.Flatten().InnerExceptions[0]); // several threads may have failed
        }
        finally
        {
            ready.CompleteAdding();
        }
    }

    private DecodedBatch Decoded(ImageBatchRequest job, CancellationToken stop)
    {
        var buffers = new byte[job.Files.Count][];
        var outcomes = new ImageReadOutcome[job.Files.Count];
        var options = new ParallelOptions { MaxDegreeOfParallelism = _threads, CancellationToken = stop };
        Parallel.For(0, job.Files.Count, options, sample =>
        {
            buffers[sample] = _free.TryTake(out byte[]? used) ? used : GC.AllocateUninitializedArray<byte>(3 * _shape.Side * _shape.Side);
            outcomes[sample] = Decode(job, sample, buffers[sample]);
        });
        return new DecodedBatch(job, buffers, outcomes);
    }

    private ImageReadOutcome Decode(ImageBatchRequest job, int sample, Span<byte> planes)
    {
        byte[] buffer = [];
        try
        {
            ReadOnlyMemory<byte> file = Content(job.Files[sample], ref buffer);
            using ImageDecoder picture = ImageDecoder.Open(file);
            ImageWindow window = job.Draws?.Window(sample, picture.Header.Width, picture.Header.Height)
                ?? _shape.ForEvaluation(picture.Header.Width, picture.Header.Height);
            bool isEnlarged = window.Rows > window.Height || window.Columns > window.Width;
            return new ImageReadOutcome(picture.Read(window, job.Draws?.Flips(sample) ?? false, planes), null, isEnlarged);
        }
        catch (Exception e) when (e is InvalidDataException || (_mayMiss && e is IOException))
        {
            planes.Clear();
            return new ImageReadOutcome(ImageTraits.None, e.Message.ReplaceLineEndings(" ").TrimEnd('.'));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>A file's bytes, in a rented buffer.</summary>
    private static ReadOnlyMemory<byte> Content(string file, ref byte[] buffer)
    {
        try
        {
            ImageInspection.EnsureContent(file);
            using FileStream stream = new(file, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
            int length = stream.Length <= MaxFileBytes
                ? (int)stream.Length
                : throw new InvalidDataException("larger than any supported image");
            buffer = ArrayPool<byte>.Shared.Rent(length);
            stream.ReadExactly(buffer, 0, length);
            return buffer.AsMemory(0, length);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IOException(e.Message.Contains(file, StringComparison.Ordinal) ? e.Message : $"{file}: {e.Message}", e);
        }
    }

    private sealed record DecodedBatch(ImageBatchRequest Job, byte[][] Buffers, ImageReadOutcome[] Outcomes);
}

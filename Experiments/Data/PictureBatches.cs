using System.Buffers;
using System.Collections.Concurrent;
using System.Runtime.ExceptionServices;
using Imta.MetaWeight.Experiments.Data.Pictures;

namespace Imta.MetaWeight.Experiments.Data;

/// <summary>A request for a batch of images.</summary>
/// <param name="Files">N paths.</param>
/// <param name="Draws">Random crops and flips; null: the evaluation transform.</param>
/// <param name="Rows">N: the rows in the data set, for the consumer.</param>
internal sealed record PictureJob(IReadOnlyList<string> Files, PictureDraws? Draws, long[] Rows);

/// <summary>
/// Decodes batches of images in several threads, prefetching in order: which thread decodes which image does not affect
/// the result. At most <see cref="Ahead"/> batches are queued, one more is being decoded, and one is being consumed, however slow the consumer is.
/// </summary>
internal sealed class PictureBatches
{
    /// <summary>The maximum number of queued batches.</summary>
    public const int Ahead = 2;

    private const int LargestFile = 1 << 30; // bytes; far above any image the reader accepts

    private readonly int _threads;
    private readonly PictureShape _shape;
    private readonly PictureTally _tally;
    private readonly bool _mayMiss;
    private readonly ConcurrentBag<byte[]> _free = []; // image buffers, reused while reading
    private int _begun;

    /// <param name="threads">The number of decoding threads.</param>
    /// <param name="shape">The evaluation transform.</param>
    /// <param name="tally">Counts images on the consumer's thread, in order.</param>
    /// <param name="mayMiss">Whether a file that cannot be opened counts as undecodable instead of failing.</param>
    public PictureBatches(int threads, PictureShape shape, PictureTally tally, bool mayMiss = false) => (_threads, _shape, _tally, _mayMiss) = (threads, shape, tally, mayMiss);

    /// <summary>The number of batches started.</summary>
    public int Begun => Volatile.Read(ref _begun);

    /// <summary>
    /// uint8 <c>[N, 3, side, side]</c> on the CPU for each job; an image that cannot be decoded is black, and a damaged one is decoded as far as
    /// possible, where torchvision's loaders would abort training. The caller disposes each batch.
    /// </summary>
    /// <param name="jobs">Enumerated on another thread.</param>
    /// <exception cref="IOException">A file cannot be opened and missing files are not allowed: a missing folder must not turn into black images.</exception>
    public IEnumerable<(PictureJob Job, Tensor Pixels)> Read(IEnumerable<PictureJob> jobs)
    {
        using var stop = new CancellationTokenSource();
        using var ready = new BlockingCollection<Made>(Ahead);
        Task making = Task.Factory.StartNew(() => Make(jobs, ready, stop.Token), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        try
        {
            foreach ((PictureJob job, byte[][] rooms, PictureOutcome[] outcomes) in ready.GetConsumingEnumerable())
            {
                foreach ((string file, PictureOutcome outcome) in job.Files.Zip(outcomes))
                {
                    _tally.Add(file, outcome);
                }

                yield return (job, Pixels(rooms));
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

    private Tensor Pixels(byte[][] rooms)
    {
        Tensor pixels = empty([rooms.Length, 3, _shape.Side, _shape.Side], ScalarType.Byte);
        for (int sample = 0; sample < rooms.Length; sample++)
        {
            using Tensor planes = pixels.select(0, sample);
            rooms[sample].CopyTo(planes.bytes);
            _free.Add(rooms[sample]);
        }

        return pixels;
    }

    private void Make(IEnumerable<PictureJob> jobs, BlockingCollection<Made> ready, CancellationToken stop)
    {
        try
        {
            foreach (PictureJob job in jobs)
            {
                Interlocked.Increment(ref _begun);
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

    private Made Decoded(PictureJob job, CancellationToken stop)
    {
        var rooms = new byte[job.Files.Count][];
        var outcomes = new PictureOutcome[job.Files.Count];
        var options = new ParallelOptions { MaxDegreeOfParallelism = _threads, CancellationToken = stop };
        Parallel.For(0, job.Files.Count, options, sample =>
        {
            rooms[sample] = _free.TryTake(out byte[]? used) ? used : GC.AllocateUninitializedArray<byte>(3 * _shape.Side * _shape.Side);
            outcomes[sample] = Decode(job, sample, rooms[sample]);
        });
        return new Made(job, rooms, outcomes);
    }

    private PictureOutcome Decode(PictureJob job, int sample, Span<byte> planes)
    {
        byte[] room = [];
        try
        {
            ReadOnlyMemory<byte> file = Content(job.Files[sample], ref room);
            using Picture picture = Picture.Open(file);
            PictureWindow window = job.Draws?.Window(sample, picture.Head.Width, picture.Head.Height) ?? _shape.ForEvaluation(picture.Head.Width, picture.Head.Height);
            return new PictureOutcome(picture.Read(window, job.Draws?.Flips(sample) ?? false, planes), null);
        }
        catch (Exception e) when (e is InvalidDataException || (_mayMiss && e is IOException))
        {
            planes.Clear();
            return new PictureOutcome(PictureTraits.None, e.Message.ReplaceLineEndings(" ").TrimEnd('.'));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(room);
        }
    }

    /// <summary>A file's bytes, in a rented buffer.</summary>
    private static ReadOnlyMemory<byte> Content(string file, ref byte[] room)
    {
        try
        {
            using FileStream stream = new(file, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
            int length = stream.Length <= LargestFile ? (int)stream.Length : throw new InvalidDataException("larger than any supported image");
            room = ArrayPool<byte>.Shared.Rent(length);
            stream.ReadExactly(room, 0, length);
            return room.AsMemory(0, length);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IOException(e.Message.Contains(file, StringComparison.Ordinal) ? e.Message : $"{file}: {e.Message}", e);
        }
    }

    private sealed record Made(PictureJob Job, byte[][] Rooms, PictureOutcome[] Outcomes);
}

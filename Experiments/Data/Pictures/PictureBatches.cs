using System.Collections.Concurrent;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using Imta.MetaWeight.Native;

namespace Imta.MetaWeight.Experiments.Data.Pictures;

/// <summary>A batch of pictures that is wanted.</summary>
/// <param name="Files">N paths.</param>
/// <param name="Draws">Crops and flips; null: as in evaluation.</param>
/// <param name="Rows">N: for who takes the batch, the rows in its set.</param>
internal sealed record PictureJob(IReadOnlyList<string> Files, PictureDraws? Draws, long[] Rows);

/// <summary>
/// Decodes batches of pictures by several threads, ahead of who asks for them, in their order: which thread took which picture changes
/// nothing. Not more than <see cref="Ahead"/> batches wait, and one more is being made, however slow the taker is.
/// </summary>
internal sealed class PictureBatches
{
    /// <summary>Batches that are ready and wait.</summary>
    public const int Ahead = 2;

    private readonly int _threads;
    private readonly PictureShape _shape;
    private readonly PictureTally _tally;
    private readonly ConcurrentBag<byte[]> _free = []; // rooms for a batch, of the same few again and again
    private int _begun;

    /// <param name="threads">That decode.</param>
    /// <param name="shape">What the network sees of a picture.</param>
    /// <param name="tally">Counts pictures on the taker's thread, in their order.</param>
    public PictureBatches(int threads, PictureShape shape, PictureTally tally) => (_threads, _shape, _tally) = (threads, shape, tally);

    private int Bytes => 3 * _shape.Side * _shape.Side; // of a picture

    /// <summary>Batches that were begun.</summary>
    public int Begun => Volatile.Read(ref _begun);

    /// <summary>
    /// uint8 <c>[N, 3, side, side]</c> on the CPU for each job; a picture that cannot be decoded is black, and a damaged one is as far as it
    /// goes, where torchvision's loaders end the training. The caller disposes each.
    /// </summary>
    /// <param name="jobs">Asked for on another thread.</param>
    /// <exception cref="IOException">A file cannot be opened: a folder that is gone should not become black pictures.</exception>
    public IEnumerable<(PictureJob Job, Tensor Pixels)> Read(IEnumerable<PictureJob> jobs)
    {
        using var stop = new CancellationTokenSource();
        using var ready = new BlockingCollection<Made>(Ahead);
        Task making = Task.Factory.StartNew(() => Make(jobs, ready, stop.Token), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        try
        {
            foreach ((PictureJob job, byte[] room, PictureOutcome[] outcomes) in ready.GetConsumingEnumerable())
            {
                foreach ((string file, PictureOutcome outcome) in job.Files.Zip(outcomes))
                {
                    _tally.Add(file, outcome);
                }

                yield return (job, Pixels(room, job.Files.Count));
            }

            making.GetAwaiter().GetResult(); // what went wrong there goes up here
        }
        finally
        {
            stop.Cancel();
            ((IAsyncResult)making).AsyncWaitHandle.WaitOne();
        }
    }

    private Tensor Pixels(byte[] room, int count)
    {
        Tensor pixels = empty([count, 3, _shape.Side, _shape.Side], ScalarType.Byte);
        room.AsSpan(0, count * Bytes).CopyTo(pixels.bytes);
        _free.Add(room);
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
            // Nobody takes any more.
        }
        catch (AggregateException e)
        {
            ExceptionDispatchInfo.Throw(e.GetBaseException());
        }
        finally
        {
            ready.CompleteAdding();
        }
    }

    private Made Decoded(PictureJob job, CancellationToken stop)
    {
        int size = checked(job.Files.Count * Bytes);
        byte[] room = _free.TryTake(out byte[]? used) && used.Length >= size ? used : GC.AllocateUninitializedArray<byte>(size);
        var outcomes = new PictureOutcome[job.Files.Count];
        var options = new ParallelOptions { MaxDegreeOfParallelism = _threads, CancellationToken = stop };
        Parallel.For(0, job.Files.Count, options, sample => outcomes[sample] = Decode(job, sample, room.AsSpan(sample * Bytes, Bytes)));
        return new Made(job, room, outcomes);
    }

    private PictureOutcome Decode(PictureJob job, int sample, Span<byte> planes)
    {
        byte[] file = Content(job.Files[sample]);
        try
        {
            PictureHead head = Picture.Look(file);
            PictureWindow window = job.Draws?.Window(sample, head.Width, head.Height) ?? _shape.ForEvaluation(head.Width, head.Height);
            return new PictureOutcome(Picture.Read(file, window, job.Draws?.Flips(sample) ?? false, planes), null);
        }
        catch (ExternalException e)
        {
            planes.Clear();
            return new PictureOutcome(PictureTraits.None, e.Message.ReplaceLineEndings(" ").TrimEnd('.'));
        }
    }

    private static byte[] Content(string file)
    {
        try
        {
            return File.ReadAllBytes(file);
        }
        catch (UnauthorizedAccessException e)
        {
            throw new IOException(e.Message, e);
        }
    }

    private sealed record Made(PictureJob Job, byte[] Room, PictureOutcome[] Outcomes);
}

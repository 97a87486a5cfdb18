using System.Collections.Concurrent;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using Imta.MetaWeight.Native;

namespace Imta.MetaWeight.Experiments.Data.Pictures;

/// <summary>A batch of pictures that is wanted.</summary>
/// <param name="Files">N paths.</param>
/// <param name="Draws">Crops and flips; null: as in evaluation.</param>
internal sealed record PictureJob(IReadOnlyList<string> Files, PictureDraws? Draws);

/// <summary>
/// Decodes batches of pictures by several threads, ahead of who asks for them, in their order: which thread took which picture changes
/// nothing. Not more than <see cref="Ahead"/> batches wait, and one more is being made, however slow the taker is.
/// </summary>
internal sealed class PictureBatches
{
    /// <summary>Batches that are ready and wait.</summary>
    public const int Ahead = 2;

    private const int Bytes = 3 * PictureCrop.Side * PictureCrop.Side; // of a picture

    private readonly int _threads;
    private readonly Action<string> _tell;
    private int _begun;

    /// <param name="threads">That decode.</param>
    /// <param name="tell">Takes a line for each picture that cannot be read or is damaged, on the taker's thread, in the order of the pictures.</param>
    public PictureBatches(int threads, Action<string> tell) => (_threads, _tell) = (threads, tell);

    /// <summary>Batches that were begun.</summary>
    public int Begun => Volatile.Read(ref _begun);

    /// <summary>
    /// uint8 [N, 3, 224, 224] on the CPU for each job; a picture that cannot be read is black, and a damaged one is as far as it goes, where
    /// torchvision's loaders end the training. The caller disposes each.
    /// </summary>
    /// <param name="jobs">Asked for on another thread.</param>
    public IEnumerable<Tensor> Read(IEnumerable<PictureJob> jobs)
    {
        using var stop = new CancellationTokenSource();
        using var ready = new BlockingCollection<Made>(Ahead);
        Task making = Task.Run(() => Make(jobs, ready, stop.Token));
        try
        {
            foreach ((byte[] pixels, string?[] problems) in ready.GetConsumingEnumerable())
            {
                foreach (string problem in problems.OfType<string>())
                {
                    _tell(problem);
                }

                yield return tensor(pixels, [pixels.Length / Bytes, 3, PictureCrop.Side, PictureCrop.Side]);
            }

            making.GetAwaiter().GetResult(); // what went wrong there goes up here
        }
        finally
        {
            stop.Cancel();
            ((IAsyncResult)making).AsyncWaitHandle.WaitOne();
        }
    }

    private void Make(IEnumerable<PictureJob> jobs, BlockingCollection<Made> ready, CancellationToken stop)
    {
        try
        {
            foreach (PictureJob job in jobs)
            {
                Interlocked.Increment(ref _begun);
                var (pixels, problems) = (new byte[job.Files.Count * Bytes], new string?[job.Files.Count]);
                var options = new ParallelOptions { MaxDegreeOfParallelism = _threads, CancellationToken = stop };
                Parallel.For(0, job.Files.Count, options, sample => problems[sample] = Decode(job, sample, pixels.AsSpan(sample * Bytes, Bytes)));
                ready.Add(new Made(pixels, problems), stop);
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

    /// <summary>Returns what is wrong with the picture.</summary>
    private static string? Decode(PictureJob job, int sample, Span<byte> planes)
    {
        try
        {
            byte[] file = File.ReadAllBytes(job.Files[sample]);
            PictureHead head = Picture.Look(file);
            PictureWindow window = job.Draws?.Window(sample, head.Width, head.Height) ?? PictureCrop.ForEvaluation(head.Width, head.Height);
            PictureTraits traits = Picture.Read(file, window, job.Draws?.Flips(sample) ?? false, planes);
            return traits.HasFlag(PictureTraits.Damaged) ? $"{job.Files[sample]} is damaged; it is used as far as it goes" : null;
        }
        catch (Exception e) when (e is ExternalException or IOException or UnauthorizedAccessException)
        {
            planes.Clear();
            return $"{job.Files[sample]} cannot be read ({e.Message.ReplaceLineEndings(" ").TrimEnd('.')}); a black picture stands for it";
        }
    }

    private sealed record Made(byte[] Pixels, string?[] Problems);
}

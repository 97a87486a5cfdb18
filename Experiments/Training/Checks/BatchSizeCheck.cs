using System.Globalization;
using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Experiments.Training.Checks;

/// <summary>Checks that batches split into equal halves in all processes, and that the last batch of an epoch is large enough.</summary>
internal static class BatchSizeCheck
{
    /// <param name="images">The number of training images.</param>
    /// <param name="settings">The run's settings.</param>
    public static IEnumerable<CheckFinding> Findings(int images, Settings settings)
    {
        (int batch, int processes) = (settings.Train.Batch, settings.Processes);
        int last = images % batch;
        bool halves = settings.Meta.SplitsBatch;
        string fix = BatchSizes.Nearest(images, batch, processes) is { } other
            ? Invariant($"set train.batch to {other}")
            : "use more training images";
        if (halves && processes == 1 && batch % 2 == 1)
        {
            yield return Warning(
                Invariant($"train.batch {batch} is odd"),
                Invariant($"its halves have {(batch + 1) / 2} and {batch / 2} images, so the two half batches of a step differ"), fix);
        }
        else if (processes > 1 && batch % ((halves ? 2 : 1) * processes) != 0)
        {
            string parts = halves ? "the two halves of " : "";
            yield return Warning(
                Invariant($"train.batch {batch} cannot be divided evenly among {parts}{processes} processes"),
                "some shards have one image more than others", fix);
        }

        if (halves && last >= 2 * processes && last < 4 * processes)
        {
            yield return Warning(
                Invariant(
                    $"the last batch of an epoch has {last} images ({images} training images, train.batch {batch}{Shared(processes)})"),
                "batch norm would compute its statistics from a half batch of a single image there",
                fix);
        }
        else if (last > 0 && last < 2 * processes)
        {
            string which = last == 1 ? "one image, a different one" : Invariant($"{last} images, different ones");
            yield return Warning(
                Invariant($"each epoch leaves out {which} each time ({images} training images, train.batch {batch}{Shared(processes)})"),
                processes == 1
                    ? "a last batch of a single image cannot be split into two halves"
                    : "with such a small last batch, not every process gets two halves",
                fix);
        }
    }

    private static string Shared(int processes) => processes == 1 ? "" : Invariant($", {processes} processes");

    private static CheckFinding Warning(string what, string why, string fix) => new(CheckName.OddBatch, Severity.Warning, what, why, fix);

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

/// <summary>
/// Batch sizes that divide evenly into two halves per process, with a last batch that is full or has at least 2 images per half.
/// </summary>
internal static class BatchSizes
{
    /// <summary>The smallest batch size with learned weights: each half has the 2 images that batch norm needs.</summary>
    public const int Minimum = 4;

    /// <summary>Whether an epoch of <paramref name="images"/> images divides evenly among <paramref name="processes"/> processes.</summary>
    public static bool DividesEvenly(int images, int batch, int processes = 1)
        => batch >= Minimum * processes && batch % (2 * processes) == 0 && images % batch is var last
            && (last == 0 || last >= Minimum * processes);

    /// <summary>The largest one up to <paramref name="limit"/>; null if there is none.</summary>
    public static int? LargestUpTo(int images, int limit, int processes = 1)
        => Descending(limit).Where(batch => DividesEvenly(images, batch, processes)).Cast<int?>().FirstOrDefault();

    /// <summary>The one nearest to <paramref name="batch"/>, on a tie the smaller; null if there is none.</summary>
    public static int? Nearest(int images, int batch, int processes = 1)
    {
        int? below = LargestUpTo(images, batch, processes);
        // For an odd number of images, the only such size may be just above it: a single batch of all images.
        IEnumerable<int> above = Enumerable.Range(batch, Math.Max(0, images - batch + (2 * processes)));
        int? next = above.Where(size => DividesEvenly(images, size, processes)).Cast<int?>().FirstOrDefault();
        return next is null || batch - below <= next - batch ? below : next;
    }

    private static IEnumerable<int> Descending(int limit) => Enumerable.Range(Minimum, Math.Max(0, limit - Minimum + 1)).Reverse();
}

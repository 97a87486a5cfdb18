namespace Imta.MetaWeight.Experiments.Training.Checks;

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
        // Of odd numbers of images, all may be the only batch: a size just above them.
        IEnumerable<int> above = Enumerable.Range(batch, Math.Max(0, images - batch + (2 * processes)));
        int? next = above.Where(size => DividesEvenly(images, size, processes)).Cast<int?>().FirstOrDefault();
        return next is null || batch - below <= next - batch ? below : next;
    }

    private static IEnumerable<int> Descending(int limit) => Enumerable.Range(Minimum, Math.Max(0, limit - Minimum + 1)).Reverse();
}

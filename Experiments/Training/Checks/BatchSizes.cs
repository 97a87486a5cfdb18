namespace Imta.MetaWeight.Experiments.Training.Checks;

/// <summary>Batch sizes that divide evenly into two halves per process, with a last batch that is full or has at least 2 images per half.</summary>
internal static class BatchSizes
{
    /// <summary>The smallest batch size with learned weights: each half has the 2 images that batch norm needs.</summary>
    public const int Least = 4;

    /// <summary>Whether an epoch of <paramref name="images"/> images divides evenly among <paramref name="processes"/> processes.</summary>
    public static bool CutWell(int images, int batch, int processes = 1)
        => batch >= Least * processes && batch % (2 * processes) == 0 && images % batch is var last && (last == 0 || last >= Least * processes);

    /// <summary>The largest one up to <paramref name="most"/>; null if there is none.</summary>
    public static int? AtMost(int images, int most, int processes = 1) => Down(most).Where(batch => CutWell(images, batch, processes)).Cast<int?>().FirstOrDefault();

    /// <summary>The one nearest to <paramref name="batch"/>, on a tie the smaller; null if there is none.</summary>
    public static int? Nearest(int images, int batch, int processes = 1)
    {
        int? below = AtMost(images, batch, processes);
        IEnumerable<int> above = Enumerable.Range(batch, Math.Max(0, images - batch + 1));
        int? next = above.Where(size => CutWell(images, size, processes)).Cast<int?>().FirstOrDefault();
        return next is null || batch - below <= next - batch ? below : next;
    }

    private static IEnumerable<int> Down(int most) => Enumerable.Range(Least, Math.Max(0, most - Least + 1)).Reverse();
}

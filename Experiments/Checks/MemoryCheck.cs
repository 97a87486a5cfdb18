using System.Globalization;

namespace Imta.MetaWeight.Experiments.Checks;

/// <summary>Whether the run's steps fit into memory.</summary>
internal static class MemoryCheck
{
    private const double Comfortable = 0.8;

    /// <param name="need">What the run takes.</param>
    /// <param name="batch"><c>train.batch</c>.</param>
    /// <param name="room">Bytes that this process can have, those that it has already included.</param>
    public static IEnumerable<Finding> Findings(MemoryNeed need, int batch, long room)
    {
        long bytes = need.At(batch);
        if (bytes > Comfortable * room)
        {
            yield return new Finding(
                CheckName.Memory,
                bytes > room ? Severity.Stop : Severity.Warning,
                $"the run takes about {ByteSize.Text(bytes)} of memory, and there are {ByteSize.Text(room)}",
                bytes > room ? "the system would end it within the first epoch" : "other programs may take the rest, and the system would end it then",
                Fix(need, batch, room));
        }
    }

    private static string Fix(MemoryNeed need, int batch, long room)
    {
        int halves = 2 * need.Processes; // each takes 2 images at least
        int most = Math.Min(batch - 1, need.TrainImages) / halves;
        int? fitting = Enumerable.Range(2, Math.Max(0, most - 1)).Select(images => halves * images).Where(size => need.At(size) <= Comfortable * room).Cast<int?>().LastOrDefault();
        return fitting is { } size
            ? string.Create(CultureInfo.InvariantCulture, $"set train.batch to {size}")
            : "no batch is small enough: take a smaller network (its blocks, channels, growth), fewer images (data.trainLimit, data.testLimit), or a machine with more memory";
    }
}

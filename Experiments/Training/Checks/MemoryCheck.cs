using System.Globalization;

namespace Imta.MetaWeight.Experiments.Training.Checks;

/// <summary>Whether the run's steps fit into memory.</summary>
internal static class MemoryCheck
{
    private const double Comfortable = 0.8;

    /// <param name="need">What the run takes.</param>
    /// <param name="batch"><c>train.batch</c>.</param>
    /// <param name="room">Bytes that this process can have of its CPU's or GPU's memory, those that it has already included.</param>
    public static IEnumerable<Finding> Findings(MemoryNeed need, int batch, long room)
    {
        long bytes = need.At(batch);
        if (bytes > Comfortable * room)
        {
            yield return new Finding(
                CheckName.Memory,
                bytes > room && !need.OnGpu ? Severity.Stop : Severity.Warning,
                $"the run takes about {ByteSize.Text(bytes)} of {Kind(need)}, and there are {ByteSize.Text(room)}",
                (need.OnGpu, bytes > room) switch
                {
                    (true, _) => "it would end with CUDA's line that memory is out",
                    (_, true) => "the system would end it within the first epoch",
                    _ => "other programs may take the rest, and the system would end it then",
                },
                Fix(need, batch, room));
        }
    }

    /// <summary>Whose memory it is.</summary>
    public static string Kind(MemoryNeed need) => need.OnGpu ? "GPU memory" : "memory";

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

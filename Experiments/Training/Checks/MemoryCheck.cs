using System.Globalization;

namespace Imta.MetaWeight.Experiments.Training.Checks;

/// <summary>Checks that the run's training steps fit into memory.</summary>
internal static class MemoryCheck
{
    private const double Comfortable = 0.8;

    /// <param name="need">The run's memory estimate.</param>
    /// <param name="batch"><c>train.batch</c>.</param>
    /// <param name="room">Bytes of CPU or GPU memory available to this process, including what it already uses.</param>
    public static IEnumerable<Finding> Findings(MemoryNeed need, int batch, long room)
    {
        long bytes = need.At(batch);
        if (bytes > Comfortable * room)
        {
            yield return new Finding(
                CheckName.Memory,
                bytes > room && !need.OnGpu ? Severity.Stop : Severity.Warning,
                $"the run needs about {ByteSize.Text(bytes)} of {Kind(need)}, but {ByteSize.Text(room)} are available",
                (need.OnGpu, bytes > room) switch
                {
                    (true, _) => "it would fail with a CUDA out-of-memory error",
                    (_, true) => "the system would kill it within the first epoch",
                    _ => "other programs may use up the rest, and the system would then kill it",
                },
                Fix(need, batch, room));
        }
    }

    /// <summary>CPU or GPU, for messages.</summary>
    public static string Kind(MemoryNeed need) => need.OnGpu ? "GPU memory" : "memory";

    private static string Fix(MemoryNeed need, int batch, long room)
    {
        int halves = 2 * need.Processes; // each needs at least 2 images
        int most = Math.Min(batch - 1, need.TrainImages) / halves;
        int? fitting = Enumerable.Range(2, Math.Max(0, most - 1)).Select(images => halves * images).Where(size => need.At(size) <= Comfortable * room).Cast<int?>().LastOrDefault();
        return fitting is { } size
            ? string.Create(CultureInfo.InvariantCulture, $"set train.batch to {size}")
            : "no batch size is small enough: use a smaller network (its blocks, channels, growth), fewer images (data.trainLimit, data.testLimit), or a machine with more memory";
    }
}

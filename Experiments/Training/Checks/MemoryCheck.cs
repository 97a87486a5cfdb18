using System.Globalization;

namespace Imta.MetaWeight.Experiments.Training.Checks;

/// <summary>Checks that the run's training steps fit into memory.</summary>
internal static class MemoryCheck
{
    private const double WarningThreshold = 0.8;

    /// <param name="need">The run's memory estimate.</param>
    /// <param name="batch"><c>train.batch</c>.</param>
    /// <param name="available">Bytes of CPU or GPU memory available to this process, including what it already uses.</param>
    public static IEnumerable<CheckFinding> Findings(MemoryEstimate need, int batch, long available)
    {
        long bytes = need.BytesFor(batch);
        if (bytes > WarningThreshold * available)
        {
            yield return new CheckFinding(
                CheckName.Memory,
                bytes > available && !need.OnGpu ? Severity.Error : Severity.Warning,
                $"the run needs about {ByteSize.Text(bytes)} of {Kind(need)}, but {ByteSize.Text(available)} is available",
                (need.OnGpu, bytes > available) switch
                {
                    (true, _) => "it would fail with a CUDA out-of-memory error",
                    (_, true) => "the system would kill it within the first epoch",
                    _ => "other programs may use up the rest, and the system would then kill it",
                },
                Fix(need, batch, available));
        }
    }

    /// <summary>CPU or GPU, for messages.</summary>
    public static string Kind(MemoryEstimate need) => need.OnGpu ? "GPU memory" : "memory";

    private static string Fix(MemoryEstimate need, int batch, long available)
    {
        int halves = 2 * need.Processes; // each needs at least 2 images
        int most = Math.Min(batch - 1, need.TrainImages) / halves;
        int? fitting = Enumerable.Range(2, Math.Max(0, most - 1)).Select(images => halves * images)
            .Where(size => need.BytesFor(size) <= WarningThreshold * available)
            .Cast<int?>()
            .LastOrDefault();
        return fitting is { } size
            ? string.Create(CultureInfo.InvariantCulture, $"set train.batch to {size}")
            : "no batch size is small enough: use a smaller network (its blocks, channels, growth), fewer images (data.trainLimit, "
                + "data.testLimit), or a machine with more memory";
    }
}

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

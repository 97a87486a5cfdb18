using System.Globalization;
using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Experiments.Checks;

/// <summary>Whether batches cut into equal halves, and the last one of an epoch is large enough.</summary>
internal static class OddBatchCheck
{
    /// <param name="images">Training images.</param>
    /// <param name="settings">The run's settings.</param>
    public static IEnumerable<Finding> Findings(int images, Settings settings)
    {
        int batch = settings.Train.Batch, last = images % batch;
        bool halves = settings.Meta.Cuts;
        string fix = BatchSizes.Nearest(images, batch) is { } other ? Invariant($"set train.batch to {other}") : "train on more images";
        if (halves && batch % 2 == 1)
        {
            yield return Warning(Invariant($"train.batch {batch} is odd"), Invariant($"its halves have {(batch + 1) / 2} and {batch / 2} images, so the two parts of a step differ"), fix);
        }

        if (halves && last is 2 or 3)
        {
            yield return Warning(
                Invariant($"the last batch of an epoch has {last} images ({images} training images, train.batch {batch})"),
                "batch norm takes its statistics from a half of a single image there",
                fix);
        }
        else if (last == 1)
        {
            yield return Warning(
                Invariant($"each epoch leaves out one image, another one each time ({images} training images, train.batch {batch})"),
                "a last batch of a single image has no two halves",
                fix);
        }
    }

    private static Finding Warning(string what, string why, string fix) => new(CheckName.OddBatch, Severity.Warning, what, why, fix);

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

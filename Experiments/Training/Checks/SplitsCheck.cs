using System.Globalization;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Experiments.Training.Checks;

/// <summary>The number of images per class, after limits and hold-out.</summary>
/// <param name="ClassNames">C names.</param>
/// <param name="Train">C counts.</param>
/// <param name="Validation">C counts.</param>
/// <param name="Test">C counts.</param>
internal sealed record SplitCounts(
    IReadOnlyList<string> ClassNames, IReadOnlyList<long> Train, IReadOnlyList<long> Validation, IReadOnlyList<long> Test);

/// <summary>Checks that every class can be learned and evaluated, and that the sets are large enough to be meaningful.</summary>
internal static class SplitsCheck
{
    // Below this, one image changes the validation accuracy by more than 1 percentage point.
    private const int FineValidation = 100;
    private const int MaxNamesShown = 5;

    public static IEnumerable<CheckFinding> Findings(SplitCounts counts, Settings settings)
    {
        int classes = counts.ClassNames.Count;
        string advice = settings.Data.Imbalance.Type == ImbalanceProfile.None
            ? "lower data.validation, or check that the data set's files are complete"
            : "lower data.imbalance.factor, or raise data.trainLimit";
        string trainFix = MissingFix(settings.Data.TrainLimit, "data.trainLimit", 2 * classes, advice);
        string testFix = MissingFix(settings.Data.TestLimit, "data.testLimit", classes, "check that the data set's files are complete");
        CheckFinding?[] all =
        [
            Missing(counts.ClassNames, counts.Train, "training", "such a class cannot be learned", trainFix),
            settings.Data.Validation == 0
                ? null
                : Missing(counts.ClassNames, counts.Validation, "validation", "its validation accuracy would be undefined", trainFix),
            Missing(counts.ClassNames, counts.Test, "test", "its test accuracy would be undefined", testFix),
            FewBatches((int)counts.Train.Sum(), settings),
            FewValidation(counts.Train.Sum(), counts.Validation.Sum(), classes, settings.Data),
        ];
        return all.OfType<CheckFinding>();
    }

    private static CheckFinding? Missing(IReadOnlyList<string> names, IReadOnlyList<long> counts, string set, string why, string fix)
    {
        string[] missing = [.. names.Where((_, label) => counts[label] == 0)];
        if (missing.Length == 0)
        {
            return null;
        }

        string listed = string.Join(", ", missing.Take(MaxNamesShown)) + (missing.Length > MaxNamesShown ? ", ..." : "");
        string have = missing.Length == 1 ? "has" : "have";
        string what = Invariant($"{missing.Length} of {names.Count} classes {have} no {set} image ({listed})");
        return new CheckFinding(CheckName.Splits, Severity.Error, what, why, fix);
    }

    private static string MissingFix(int? limit, string key, int least, string otherwise)
        => limit < least ? Invariant($"set {key} to at least {least} (now {limit})") : otherwise;

    private static CheckFinding? FewBatches(int images, Settings settings)
    {
        int batches = new BatchPlan(images, settings.Train.Batch, settings.Seed, new Shard(0, settings.Processes)).Batches;
        if (batches >= 2)
        {
            return null;
        }

        string more = settings.Data.TrainLimit is null ? "use more training images" : "raise data.trainLimit";
        string fix = BatchSizes.LargestUpTo(images, images / 2, settings.Processes) is { } batch
            ? Invariant($"set train.batch to {batch} or less, or {more}")
            : more;
        return new CheckFinding(
            CheckName.Splits, Severity.Warning, Invariant(
                $"one batch per epoch ({images} training images, train.batch {settings.Train.Batch})"), "each epoch is a single step", fix);
    }

    private static CheckFinding? FewValidation(long train, long validation, int classes, DataOptions data)
    {
        if (validation is 0 or >= FineValidation)
        {
            return null;
        }

        double percent = 100.0 / validation;
        return new CheckFinding(
            CheckName.Splits,
            Severity.Warning,
            Invariant($"{validation} validation images"),
            Invariant($"one image changes the accuracy by {percent:0.0} percentage points, so smaller differences are noise"),
            MoreValidation(train + validation, classes, data));
    }

    /// <summary>How to hold out enough images: the inverse of <see cref="Splits.ValidationSize"/>.</summary>
    private static string MoreValidation(long available, int classes, DataOptions data)
    {
        long whole = Splits.FullTrainingSetSize(data.Dataset), needed = (FineValidation + classes - 1) / classes * classes;
        string? hold = needed > available / 2
            ? null
            : Invariant($"data.validation to {CeilingDivide(needed * whole, Math.Min(available, whole))}");
        string? limit = data.TrainLimit is null || data.Validation < needed
            ? null
            : Invariant($"data.trainLimit to {CeilingDivide(needed * whole, data.Validation)}");
        string[] ways = [.. new[] { limit, hold }.OfType<string>()];
        return ways.Length == 0 ? "use more training images" : $"raise {string.Join(", or ", ways)}";
    }

    private static long CeilingDivide(long a, long b) => (a + b - 1) / b;

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

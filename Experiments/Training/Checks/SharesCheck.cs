using System.Globalization;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Experiments.Training.Checks;

/// <summary>Checks that samples of a full batch, meta or training, are allocated to every exit.</summary>
/// <remarks>A smaller last batch may leave exits without samples; the full batches do not.</remarks>
internal static class SharesCheck
{
    private const int StepsOfQ = 100;

    /// <param name="images">The number of training images.</param>
    /// <param name="exits">The number of exits K.</param>
    /// <param name="settings">The run's settings.</param>
    public static IEnumerable<CheckFinding> Findings(int images, int exits, Settings settings)
    {
        MetaSettings meta = settings.Meta;
        if (!AllocatesMeta(meta) && !(meta.Enabled && meta.Weights.Value.Allocates))
        {
            return [];
        }

        int samples = Samples(Math.Min(settings.Train.Batch, images), settings);
        int[] quotas = ExitShares.Quotas(ExitShares.FromQ(meta.Q, exits), samples);
        int[] without = [.. Enumerable.Range(1, exits).Where(k => quotas[k - 1] == 0)];
        return without.Length == 0
            ? []
            : [new CheckFinding(
                CheckName.Shares,
                Severity.Error,
                Invariant($"none of the {samples} {(AllocatesMeta(meta) ? "meta" : "training")} samples of ")
                    + $"{(meta.SplitsBatch ? "half a" : "a")} batch{(settings.Processes == 1 ? "" : " in a process")} "
                    + Invariant($"are allocated to exit {string.Join(", ", without)} of {exits} (meta.q {meta.Q})"),
                AllocatesMeta(meta)
                    ? "the predictions of such an exit would not influence the learned weights"
                    : "such an exit would not follow the rule of meta.weights",
                Fix(images, exits, settings))];
    }

    /// <summary>Whether meta samples are allocated; they are no more than the training samples, which may be allocated too.</summary>
    private static bool AllocatesMeta(MetaSettings meta) => meta is { Learns: true, Objective: MetaObjectiveKind.Allocated };

    private static string Fix(int images, int exits, Settings settings)
    {
        int samples = Samples(Math.Min(settings.Train.Batch, images), settings);
        string? batch = MinBatchSize(images, exits, settings) is { } size ? Invariant($"train.batch to {size} or more") : null;
        string? share = NearestQ(samples, exits, settings.Meta.Q) is { } q ? Invariant($"meta.q to {q}") : null;
        string[] ways = [.. new[] { batch, share }.OfType<string>()];
        string group = settings.Model.Group, blocks = $"{group}.blocks";
        string fewer = (SettingsSchema.Find(blocks) is null ? $"give {group} fewer exits" : $"lower {blocks}")
            + (AllocatesMeta(settings.Meta) ? ", or set meta.objective to vanilla" : "");
        return ways.Length == 0 ? fewer : $"set {string.Join(", or ", ways)}";
    }

    /// <summary>
    /// Samples that a process allocates at once. The first half of an odd batch has one more: an exit that gets none of it gets none of the
    /// other half either.
    /// </summary>
    private static int Samples(int batch, Settings settings) => (settings.Meta switch
    {
        { SplitsBatch: true } => (batch + 1) / 2,
        { UsesHeldOutData: true } meta when AllocatesMeta(meta) => Math.Min(batch, meta.PerClass * DatasetShape.For(settings.Data).Classes),
        _ => batch,
    }) / settings.Processes;

    /// <summary>The smallest evenly divisible batch size with a sample for every exit.</summary>
    private static int? MinBatchSize(int images, int exits, Settings settings)
    {
        float[] shares = ExitShares.FromQ(settings.Meta.Q, exits);
        return Enumerable.Range(BatchSizes.Minimum, Math.Max(0, images - BatchSizes.Minimum + 1))
            .Where(
                batch
                    => BatchSizes.DividesEvenly(images, batch, settings.Processes) && EveryExitHasSamples(shares, Samples(batch, settings)))
            .Cast<int?>()
            .FirstOrDefault();
    }

    /// <summary>
    /// The q nearest to the current one, in steps of 0.01 towards equal shares (q = 1), with a sample for every exit.
    /// </summary>
    private static double? NearestQ(int samples, int exits, double q)
    {
        int from = (int)Math.Round(Math.Clamp(q, 0, 10) * StepsOfQ);
        int direction = Math.Sign(StepsOfQ - from);
        return Enumerable.Range(1, Math.Abs(StepsOfQ - from))
            .Select(step => (double)(from + (direction * step)) / StepsOfQ)
            .Where(candidate => EveryExitHasSamples(ExitShares.FromQ(candidate, exits), samples))
            .Cast<double?>()
            .FirstOrDefault();
    }

    private static bool EveryExitHasSamples(float[] shares, int samples) => ExitShares.Quotas(shares, samples).All(quota => quota > 0);

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

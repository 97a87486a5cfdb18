using System.Globalization;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Meta;

namespace Imta.MetaWeight.Experiments.Checks;

/// <summary>Whether every exit gets meta samples from a whole batch.</summary>
/// <remarks>A smaller last batch may leave exits without; the batches before it don't.</remarks>
internal static class SharesCheck
{
    private const int StepsOfQ = 100;

    /// <param name="images">Training images.</param>
    /// <param name="exits">K.</param>
    /// <param name="settings">The run's settings.</param>
    public static IEnumerable<Finding> Findings(int images, int exits, Settings settings)
    {
        MetaOptions meta = settings.Meta;
        if (!meta.Enabled || (meta.Predicts && meta.Objective != MetaObjectiveKind.Allocated))
        {
            return [];
        }

        // An odd batch's first half has one more: what it gives nothing, the other does neither.
        int half = (Math.Min(settings.Train.Batch, images) + 1) / 2;
        int[] quotas = ExitShares.Quotas(ExitShares.Of(meta.Q, exits), half);
        int[] without = [.. Enumerable.Range(1, exits).Where(k => quotas[k - 1] == 0)];
        return without.Length == 0
            ? []
            : [new Finding(
                CheckName.Shares,
                Severity.Stop,
                Invariant($"none of the {half} meta samples of half a batch go to exit {string.Join(", ", without)} of {exits} (meta.q {meta.Q})"),
                "what such an exit answers has no part in learning the weights",
                Fix(images, exits, settings))];
    }

    private static string Fix(int images, int exits, Settings settings)
    {
        int half = (Math.Min(settings.Train.Batch, images) + 1) / 2;
        string? batch = LeastBatch(images, exits, settings.Meta.Q) is { } size ? Invariant($"train.batch to {size} or more") : null;
        string? share = NearestQ(half, exits, settings.Meta.Q) is { } q ? Invariant($"meta.q to {q}") : null;
        string[] ways = [.. new[] { batch, share }.OfType<string>()];
        return ways.Length == 0 ? $"lower {settings.Model.Group}.blocks, or set meta.objective to vanilla" : $"set {string.Join(", or ", ways)}";
    }

    /// <summary>The smallest batch that cuts well with a meta sample for every exit.</summary>
    private static int? LeastBatch(int images, int exits, double q)
    {
        float[] shares = ExitShares.Of(q, exits);
        return Enumerable.Range(BatchSizes.Least, Math.Max(0, images - BatchSizes.Least + 1))
            .Where(batch => BatchSizes.CutWell(images, batch) && Everywhere(shares, batch / 2))
            .Cast<int?>()
            .FirstOrDefault();
    }

    /// <summary>The q nearest to the present one, in steps of 0.01 towards equal shares (q = 1), with a meta sample for every exit.</summary>
    private static double? NearestQ(int samples, int exits, double q)
    {
        int from = (int)Math.Round(Math.Clamp(q, 0, 10) * StepsOfQ);
        int direction = Math.Sign(StepsOfQ - from);
        return Enumerable.Range(1, Math.Abs(StepsOfQ - from))
            .Select(step => (double)(from + (direction * step)) / StepsOfQ)
            .Where(candidate => Everywhere(ExitShares.Of(candidate, exits), samples))
            .Cast<double?>()
            .FirstOrDefault();
    }

    private static bool Everywhere(float[] shares, int samples) => ExitShares.Quotas(shares, samples).All(quota => quota > 0);

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

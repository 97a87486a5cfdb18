namespace Imta.MetaWeight.Allocation;

/// <summary>Finds a <see cref="ThresholdPolicy"/> on held-out samples, for shares of them or for a budget of mean multiply-adds.</summary>
/// <remarks>Shapes: <c>N</c> samples, <c>K</c> exits.</remarks>
public static class Calibration
{
    private const double MaxQ = 1024; // the largest q tried; its inverse is the smallest
    private const int GridPoints = 121; // per pass, in equal steps of ln q
    private const int Rounds = 3;
    private const double FloatBits = 120; // powers of q stay within float32

    /// <summary>The policy under which each exit takes its quota of samples (<see cref="BudgetedInference.Thresholds"/>).</summary>
    /// <param name="criterion">The score.</param>
    /// <param name="scores">float32 <c>[N, K]</c>, of held-out samples.</param>
    /// <param name="quotas">K quotas that sum to N.</param>
    public static ThresholdPolicy ToQuotas(IExitCriterion criterion, Tensor scores, int[] quotas)
    {
        using DisposeScope scope = NewDisposeScope();
        float[] found = BudgetedInference.Thresholds(scores, [quotas]).cpu().data<float>().ToArray();
        return new ThresholdPolicy(criterion, [.. found.Select((threshold, k) => Midpoint(threshold, scores.select(1, k)))]);
    }

    /// <summary>The policy under which each exit takes its share.</summary>
    /// <param name="criterion">The score.</param>
    /// <param name="scores">float32 <c>[N, K]</c>, of held-out samples.</param>
    /// <param name="shares">K shares that sum to 1.</param>
    public static ThresholdPolicy ToShares(IExitCriterion criterion, Tensor scores, IReadOnlyList<float> shares)
        => ToQuotas(criterion, scores, ExitShares.Quotas(shares, scores.shape[0]));

    /// <summary>
    /// The numbers of samples per exit with the highest mean cost within a budget: those of the exit shares q^k
    /// (<see cref="ExitShares"/>) or, if no q fits, all samples that the budget allows at exit 2 and the rest at exit 1.
    /// </summary>
    /// <param name="scores">float32 <c>[N, K]</c>, of held-out samples.</param>
    /// <param name="macs">Multiply-adds of a prediction at each exit, K numbers.</param>
    /// <param name="budget">Maximum mean multiply-adds per sample.</param>
    /// <returns>K quotas, and their q, if there is one.</returns>
    /// <exception cref="ArgumentOutOfRangeException">Even exit 1 exceeds the budget.</exception>
    public static (int[] Quotas, double? Q) QuotasForMacs(Tensor scores, IReadOnlyList<long> macs, double budget)
    {
        if (!(budget >= macs[0]))
        {
            string less = FormattableString.Invariant($"a budget of {budget} multiply-adds is less than the cost of exit 1, {macs[0]:N0}");
            throw new ArgumentOutOfRangeException(nameof(budget), less);
        }

        return BestQ(scores, macs, budget) is { } q
            ? (ExitShares.Quotas(ExitShares.FromQ(q, macs.Count), scores.shape[0]), q)
            : (SolveTwoExits(scores, macs, budget), null);
    }

    private static double? BestQ(Tensor scores, IReadOnlyList<long> macs, double budget)
    {
        double most = Math.Min(MaxQ, Math.Pow(2, FloatBits / macs.Count));
        (double low, double high) = (-Math.Log(most), Math.Log(most));
        double? best = null;
        for (int round = 0; round < Rounds; round++)
        {
            double step = (high - low) / (GridPoints - 1), start = low;
            double[] tried = [.. Enumerable.Range(0, GridPoints).Select(i => Math.Exp(start + (i * step)))];
            best = Best(tried, q => ExitShares.Quotas(ExitShares.FromQ(q, macs.Count), scores.shape[0]), scores, macs, budget, best);
            double centre = Math.Log(best ?? Math.Exp(low));
            (low, high) = (centre - step, centre + step);
        }

        return best;
    }

    private static int[] SolveTwoExits(Tensor scores, IReadOnlyList<long> macs, double budget)
    {
        int samples = (int)scores.shape[0], step = Math.Max(1, samples / GridPoints);
        int[] Quotas(int second) => macs.Count == 1 ? [samples] : [samples - second, second, .. new int[macs.Count - 2]];
        int[] tried = macs.Count == 1 ? [0] : [.. Enumerable.Range(0, (samples / step) + 1).Select(i => i * step)];
        return Quotas(Best(tried, Quotas, scores, macs, budget, otherwise: 0) ?? 0);
    }

    /// <summary>Of the candidates, the one that costs the most within the budget.</summary>
    private static T? Best<T>(T[] tried, Func<T, int[]> quotas, Tensor scores, IReadOnlyList<long> macs, double budget, T? otherwise)
        where T : struct
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor thresholds = BudgetedInference.Thresholds(scores, Array.ConvertAll(tried, one => quotas(one)));
        BudgetedOutcome[] outcomes = BudgetedInference.Apply(scores, zeros_like(scores).gt(Held(0)), thresholds);
        (T One, float Cost)[] within =
            [.. tried.Zip(outcomes, (one, outcome) => (one, outcome.MeanMacs(macs))).Where(pair => pair.Item2 <= budget)];
        return within.Length > 0 ? within.MaxBy(pair => pair.Cost).One : otherwise;
    }

    /// <summary>
    /// A threshold is a sample's own score, and in another batch the same sample's score may be a rounding error below it. The midpoint to
    /// the next lower score separates these samples alike and equals none of their scores. Between adjacent floats it would round to either
    /// of them, so the threshold stays.
    /// </summary>
    internal static float Midpoint(float threshold, Tensor scores)
    {
        if (threshold is BudgetedInference.Never or BudgetedInference.Always)
        {
            return threshold;
        }

        float next = scores.cpu().contiguous().data<float>().ToArray().Where(score => score < threshold).DefaultIfEmpty(0).Max();
        return MathF.BitIncrement(next) < threshold ? (threshold + next) / 2 : threshold;
    }
}

namespace Imta.MetaWeight.Allocation;

/// <summary>Finds an <see cref="ExitPolicy"/> by held-out samples: for shares of samples at each exit, or for multiply-adds on average.</summary>
/// <remarks>Shapes: <c>N</c> samples, <c>K</c> exits.</remarks>
public static class Calibration
{
    private const double Extreme = 1024; // the largest q that is tried; its inverse is the smallest
    private const int Tried = 121; // at once, in equal steps of ln q
    private const int Rounds = 3;
    private const double FloatBits = 120; // powers of q stay within float32

    /// <summary>The policy under which each exit answers its share.</summary>
    /// <param name="criterion">The score.</param>
    /// <param name="scores">float32 <c>[N, K]</c>, of held-out samples.</param>
    /// <param name="shares">K, which sum to 1.</param>
    public static ExitPolicy ToShares(IExitCriterion criterion, Tensor scores, IReadOnlyList<float> shares)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor thresholds = BudgetedInference.Thresholds(scores, [ExitShares.Quotas(shares, scores.shape[0])]).cpu();
        float[] found = thresholds.data<float>().ToArray();
        return new ExitPolicy(criterion, [.. found.Select((threshold, k) => Between(threshold, scores.select(1, k)))]);
    }

    /// <summary>The exit shares q^k (<see cref="ExitShares"/>) that cost the most on average within a budget; null: everybody leaves at exit 1.</summary>
    /// <param name="scores">float32 <c>[N, K]</c>, of held-out samples.</param>
    /// <param name="macs">K: multiply-adds of an answer at each exit.</param>
    /// <param name="budget">Multiply-adds of a sample on average, at most.</param>
    /// <returns>q.</returns>
    /// <exception cref="ArgumentOutOfRangeException">Not even exit 1 is within the budget.</exception>
    public static double? QForMacs(Tensor scores, IReadOnlyList<long> macs, double budget)
    {
        if (!(budget >= macs[0]))
        {
            throw new ArgumentOutOfRangeException(nameof(budget), FormattableString.Invariant($"a budget of {budget:0} multiply-adds is less than exit 1 takes, {macs[0]:N0}"));
        }

        double most = Math.Min(Extreme, Math.Pow(2, FloatBits / macs.Count));
        (double low, double high) = (-Math.Log(most), Math.Log(most));
        double? best = null;
        for (int round = 0; round < Rounds; round++)
        {
            double step = (high - low) / (Tried - 1), start = low;
            double[] tried = [.. Enumerable.Range(0, Tried).Select(i => Math.Exp(start + (i * step)))];
            float[] costs = Costs(scores, macs, tried);
            (double Q, float Cost)[] within = [.. tried.Zip(costs).Where(pair => pair.Second <= budget)];
            if (within.Length > 0)
            {
                best = within.MaxBy(pair => pair.Cost).Q;
            }

            double centre = Math.Log(best ?? Math.Exp(low));
            (low, high) = (centre - step, centre + step);
        }

        return best;
    }

    private static float[] Costs(Tensor scores, IReadOnlyList<long> macs, double[] tried)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor thresholds = BudgetedInference.Thresholds(scores, [.. tried.Select(q => ExitShares.Quotas(ExitShares.Of(q, macs.Count), scores.shape[0]))]);
        return [.. BudgetedInference.Apply(scores, zeros_like(scores).gt(0), thresholds).Select(outcome => outcome.MeanMacs(macs))];
    }

    /// <summary>
    /// A threshold is a sample's own score, and the same sample computed otherwise, in another batch, may end a rounding error below it.
    /// Half-way to the next lower score means the same for these samples and stands apart from all of them.
    /// </summary>
    private static float Between(float threshold, Tensor scores)
    {
        if (threshold is BudgetedInference.Never or BudgetedInference.Always)
        {
            return threshold;
        }

        float next = scores.cpu().contiguous().data<float>().ToArray().Where(score => score < threshold).DefaultIfEmpty(0).Max();
        float between = (threshold + next) / 2;
        return between > next ? between : threshold;
    }
}

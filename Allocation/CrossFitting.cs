namespace Imta.MetaWeight.Allocation;

/// <summary>
/// Estimates how thresholds overfit: they are fitted on each half of the samples and applied to both. Values are means over the fits.
/// </summary>
/// <param name="FittedAccuracy">The accuracy on the half that they were fitted on.</param>
/// <param name="OtherAccuracy">The accuracy on the other half: what to expect for new samples.</param>
/// <param name="OtherMacs">Mean multiply-adds per sample on the other half.</param>
public sealed record CrossFitting(double FittedAccuracy, double OtherAccuracy, double OtherMacs)
{
    /// <summary>Fits on each half, and applies each policy to both.</summary>
    /// <param name="fit">Finds a policy from the scores and whether predictions are correct, both <c>[M, K]</c>.</param>
    /// <param name="scores"><c>[N, K]</c>.</param>
    /// <param name="correct">bool <c>[N, K]</c>.</param>
    /// <param name="macs">Multiply-adds of a prediction at each exit, K numbers.</param>
    /// <param name="order">int64 <c>[N]</c>: the samples in random order, to be split into a first and a second half.</param>
    public static CrossFitting Fit(
        Func<Tensor, Tensor, IExitPolicy> fit, Tensor scores, Tensor correct, IReadOnlyList<long> macs, Tensor order)
    {
        using DisposeScope scope = NewDisposeScope();
        long half = order.shape[0] / 2;
        (Tensor Scores, Tensor Correct)[] halves = [.. new[] { order.narrow(0, 0, half), order.narrow(0, half, order.shape[0] - half) }
            .Select(rows => (scores.index_select(0, rows), correct.index_select(0, rows)))];
        (BudgetedOutcome Own, BudgetedOutcome Other)[] fits = [.. halves.Select((own, i) =>
        {
            IExitPolicy policy = fit(own.Scores, own.Correct);
            (Tensor otherScores, Tensor otherCorrect) = halves[1 - i];
            return (policy.Apply(own.Scores, own.Correct), policy.Apply(otherScores, otherCorrect));
        })];
        return new CrossFitting(
            fits.Average(one => one.Own.Accuracy), fits.Average(one => one.Other.Accuracy), fits.Average(one => one.Other.MeanMacs(macs)));
    }
}

using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Experiments.Evaluation;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary><c>dynamic_eval*.pt</c>: the published threshold search and its results on validation and test set, for p = 1 … P.</summary>
internal static class DynamicCase
{
    private const double Exact = 0;

    public static IEnumerable<VerifiedQuantity> Run(string path, Device device)
    {
        using GoldenFile golden = GoldenFile.Open(path, device);
        return GoldenComparison.Run(
            golden,
            isInput: key => key is "val_prob" or "test_prob" or "val_target" or "test_target" or "flops",
            comparison => CheckAll(golden, comparison),
            quantityOf: key => key);
    }

    private static void CheckAll(GoldenFile golden, GoldenComparison comparison)
    {
        using DisposeScope scope = NewDisposeScope();
        int exits = (int)golden["flops"].numel(), points = (int)golden["probs"].shape[0];
        (Tensor validation, Tensor rightOfValidation) = Answers(golden, "val");
        float[][] shares = [.. Enumerable.Range(1, points).Select(p => ExitShares.FromQ(EvaluationReport.Q(p), exits))];
        int[][] quotas = [.. shares.Select(of => ExitShares.Quotas(of, validation.shape[0]))];
        Tensor thresholds = BudgetedInference.Thresholds(validation, quotas);
        comparison.Check("probs", tensor(shares.SelectMany(of => of).ToArray(), [points, exits]), Exact);
        comparison.Check(
            "val_quota", tensor(quotas.SelectMany(of => of[..^1]).Select(quota => (long)quota).ToArray(), [points, exits - 1]), Exact);
        comparison.Check("threshold", thresholds, Exact);
        long[] macs = [.. GoldenFile.Values(golden["flops"]).Select(count => (long)count)];
        Check(comparison, "val", BudgetedInference.Apply(validation, rightOfValidation, thresholds), macs);
        (Tensor test, Tensor rightOfTest) = Answers(golden, "test");
        Check(comparison, "test", BudgetedInference.Apply(test, rightOfTest, thresholds), macs);
    }

    private static void Check(GoldenComparison comparison, string set, BudgetedOutcome[] outcomes, long[] macs)
    {
        comparison.Check(
            $"{set}_exit_count", tensor(outcomes.SelectMany(outcome => outcome.Leaving).ToArray(), [outcomes.Length, macs.Length]), Exact);
        comparison.Check(
            $"{set}_acc", tensor(outcomes.Select(outcome => outcome.Correct.Sum() * 100.0 / outcome.Samples).ToArray()), Exact);
        comparison.Check($"{set}_flops", tensor(outcomes.Select(outcome => outcome.MeanMacs(macs)).ToArray()), Exact);
    }

    /// <summary>
    /// The largest probability of each sample at each exit, float32 <c>[N, K]</c>, and whether its prediction is correct.
    /// </summary>
    private static (Tensor Scores, Tensor Correct) Answers(GoldenFile golden, string set)
    {
        (Tensor values, Tensor classes) = golden[$"{set}_prob"].to_type(float32).max(2); // [K, N]
        return (values.t().contiguous(), classes.eq(golden[$"{set}_target"]).t().contiguous());
    }
}

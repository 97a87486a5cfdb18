using MathNet.Numerics.Statistics;

namespace Imta.MetaWeight.Experiments.Evaluation;

/// <summary>
/// How well a score separates positive samples from negative ones (Hendrycks and Gimpel, ICLR 2017). Every value is null if all samples
/// are positive, or all negative.
/// </summary>
internal static class FailurePrediction
{
    private const double TruePositives = 0.95;

    /// <summary>
    /// Area under the ROC curve: the chance that a positive sample has a higher score than a negative one, equal ones counting half.
    /// </summary>
    public static double? Auroc(IReadOnlyList<bool> positive, IReadOnlyList<double> score)
    {
        if (AreAlike(positive))
        {
            return null;
        }

        double positives = positive.Count(is1 => is1), negatives = positive.Count - positives;
        double[] ranks = ArrayStatistics.RanksInplace([.. score], RankDefinition.Average);
        double sum = ranks.Where((_, i) => positive[i]).Sum();
        return (sum - (positives * (positives + 1) / 2)) / (positives * negatives);
    }

    /// <summary>
    /// Area under the precision-recall curve, as average precision: Σ (R_t − R_{t−1}) P_t over descending thresholds t, one per distinct
    /// score.
    /// </summary>
    public static double? Aupr(IReadOnlyList<bool> positive, IReadOnlyList<double> score)
    {
        if (AreAlike(positive))
        {
            return null;
        }

        double area = 0, recall = 0;
        foreach ((double truePositives, _, double precision) in Curve(positive, score))
        {
            area += (truePositives - recall) * precision;
            recall = truePositives;
        }

        return area;
    }

    /// <summary>The false positive rate at the highest threshold with a true positive rate of at least 95 %.</summary>
    public static double? Fpr95(IReadOnlyList<bool> positive, IReadOnlyList<double> score)
        => AreAlike(positive) ? null : Curve(positive, score).First(at => at.TruePositives >= TruePositives).FalsePositives;

    private static bool AreAlike(IReadOnlyList<bool> positive) => positive.Distinct().Count() < 2;

    /// <summary>True and false positive rate and precision at each distinct score, the highest first.</summary>
    private static IEnumerable<(double TruePositives, double FalsePositives, double Precision)> Curve(
        IReadOnlyList<bool> positive, IReadOnlyList<double> score)
    {
        int positives = positive.Count(is1 => is1), right = 0, taken = 0;
        foreach (IGrouping<double, int> equal in Enumerable.Range(0, score.Count).GroupBy(i => score[i]).OrderByDescending(of => of.Key))
        {
            taken += equal.Count();
            right += equal.Count(i => positive[i]);
            yield return ((double)right / positives, (double)(taken - right) / (score.Count - positives), (double)right / taken);
        }
    }
}

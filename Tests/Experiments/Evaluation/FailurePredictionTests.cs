using Imta.MetaWeight.Experiments.Evaluation;

namespace Imta.MetaWeight.Tests.Experiments.Evaluation;

/// <summary>Telling positive samples by their score, against numbers found by hand and against the definitions.</summary>
public sealed class FailurePredictionTests
{
    [Fact]
    public void The_area_under_the_curve_is_the_share_of_pairs_in_order()
    {
        FailurePrediction.Auroc([true, true, false, false], [0.9, 0.5, 0.5, 0.1]).Should().Be((1 + 1 + 0.5 + 1) / 4);
        FailurePrediction.Auroc([false, true], [0.9, 0.1]).Should().Be(0);
    }

    [Fact]
    public void Average_precision_is_that_at_each_distinct_score_weighted_by_the_recall_it_adds()
    {
        FailurePrediction.Aupr([true, false, true, false], [4, 3, 2, 1]).Should().BeApproximately((0.5 * 1) + (0.5 * 2 / 3), 1e-15);
        FailurePrediction.Aupr([true, false, true, false], [1, 1, 1, 1]).Should().Be(0.5, "of equal scores it is the share of positives");
        FailurePrediction.Aupr([false, true], [0.9, 0.1]).Should().Be(0.5);
    }

    [Fact]
    public void False_positives_are_counted_where_95_percent_of_the_positives_are_found()
    {
        bool[] positive = [.. Enumerable.Range(0, 40).Select(i => i < 20)];
        double[] score = [.. Enumerable.Range(0, 40).Select(i => i switch { < 18 => 3.0, 18 => 2, 19 => 0, < 24 => 2, _ => 1 })];

        FailurePrediction.Fpr95(positive, score).Should().Be(4 / 20.0, "19 of 20 have at least the score 2, and so have 4 negatives");
        FailurePrediction.Fpr95([true, false], [1, 0]).Should().Be(0);
        FailurePrediction.Fpr95([true, false], [0, 0]).Should().Be(1);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Samples_that_are_all_alike_have_no_numbers(bool positive)
    {
        FailurePrediction.Auroc([positive, positive], [0.9, 0.1]).Should().BeNull();
        FailurePrediction.Aupr([positive, positive], [0.9, 0.1]).Should().BeNull();
        FailurePrediction.Fpr95([positive, positive], [0.9, 0.1]).Should().BeNull();
    }

    [Fact]
    public void Random_scores_give_what_their_definitions_say() => Laws.HoldFor(100, random =>
    {
        int samples = 2 + random.Next(40);
        bool[] positive = [true, false, .. Enumerable.Range(2, samples).Select(_ => random.Next(2) == 0)];
        double[] score = [.. positive.Select(_ => (double)random.Next(10))];
        double[] found = [.. score.Where((_, i) => positive[i])], others = [.. score.Where((_, i) => !positive[i])];
        double threshold = found.Where(at => found.Count(one => one >= at) >= 0.95 * found.Length).Max();

        FailurePrediction.Auroc(positive, score).Should().BeApproximately(
            found.Average(one => others.Average(other => one > other ? 1 : one == other ? 0.5 : 0)), 1e-12);
        FailurePrediction.Aupr(positive, score).Should().BeApproximately(
            found.Average(at => (double)found.Count(one => one >= at) / score.Count(one => one >= at)), 1e-12);
        FailurePrediction.Fpr95(positive, score).Should().BeApproximately(
            others.Count(other => other >= threshold) / (double)others.Length, 1e-12);
    });
}

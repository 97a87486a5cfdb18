using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Tests.Experiments.Evaluation;

/// <summary>Each diagnostic against numbers found by hand.</summary>
public sealed class DiagnosticsTests
{
    private static readonly IExitCriterion Confidence = ExitCriteria.Confidence;

    [Fact]
    public void The_calibration_error_is_the_bins_mean_distance_of_accuracy_and_confidence()
    {
        // Bins of a fifteenth: 0.61 and 0.65 share one, 0.95 has its own; 1 is in the last.
        Diagnostics.CalibrationError([true, false, true], [0.61f, 0.65f, 0.95f]).Should()
            .BeApproximately((Math.Abs(1 - 1.26) + Math.Abs(1 - 0.95)) / 3, 1e-6);
        Diagnostics.CalibrationError([true, true, false], [0.7f, 0.9f, 0.8f]).Should().BeApproximately((0.3 + 0.1 + 0.8) / 3, 1e-6);
        Diagnostics.CalibrationError([true, true], [1, 1]).Should().Be(0);
        Diagnostics.CalibrationError([false], [0]).Should().Be(0);
    }

    [Fact]
    public void A_bin_holds_its_upper_end() =>
        Diagnostics.CalibrationError([true, false], [0.2f, 0.15f]).Should()
            .BeApproximately(Math.Abs(1 - 0.35) / 2, 1e-6, "0.2 is the end of the third bin");

    [Fact]
    public void Rows_of_each_exit_say_who_leaves_who_is_right_and_who_thinks_too_long()
    {
        using DisposeScope scope = NewDisposeScope();
        Predictions predictions = Predictions(
            labels: [0, 0, 1, 1],
            classes: [[0, 0, 0], [0, 1, 1], [0, 1, 0], [0, 0, 0]],
            confidence: [[0.9f, 0.9f, 0.9f], [0.6f, 0.8f, 0.7f], [0.3f, 0.8f, 0.6f], [0.2f, 0.3f, 0.5f]]);
        var policy = new ThresholdPolicy(Confidence, [0.6f, 0.7f, 0]);

        ExitRow[] rows = [.. Diagnostics.Exits(predictions, policy, ClassGroup.FromCounts([10, 10]))];

        rows.Select(row => (row.Classes, row.Exit, row.Samples)).Should().Equal(("all", 1, 4), ("all", 2, 4), ("all", 3, 4));
        rows.Select(row => row.Share).Should().Equal(0.5, 0.25, 0.25);
        rows.Select(row => row.AccuracyLeaving).Should().Equal(1, 1, 0);
        rows.Select(row => row.Accuracy).Should().Equal(0.5, 0.5, 0.25);
        rows.Select(row => row.Overthinking).Should().Equal(0.25, 0.25, 0);
        rows.Select(row => row.Oracle).Should().Equal(0.5, 0.75, 0.75);
        rows.Select(row => row.Confidence).Should().Equal([0.5, 0.7, 0.675], (one, other) => Math.Abs(one - other) < 1e-6);
        rows.Select(row => row.Auroc).Should().Equal(1, (1 + 1 + 0.5 + 1) / 4.0, 1);
        rows.Select(row => row.Premature).Should().Equal(0, 0, 0);
        rows.Should().OnlyContain(row => row.PrematureAuroc == null);
    }

    /// <summary>The first and the third image are wrong at exit 1 and right at the last one.</summary>
    [Fact]
    public void Leaving_is_premature_where_it_costs_the_right_answer_and_doubt_should_find_it()
    {
        using DisposeScope scope = NewDisposeScope();
        Predictions predictions = Predictions(
            labels: [0, 0, 1, 1],
            classes: [[1, 0], [1, 1], [0, 1], [1, 1]],
            confidence: [[0.3f, 0.9f], [0.4f, 0.8f], [0.5f, 0.7f], [0.9f, 0.6f]]);

        ExitRow[] rows = [.. Diagnostics.Exits(
            predictions, new ThresholdPolicy(Confidence, [0.6f, 0]), ClassGroup.FromCounts([10, 10]))];

        rows.Select(row => row.Premature).Should().Equal(0.5, 0);
        rows.Select(row => row.PrematureAuroc).Should().Equal(3 / 4.0, null);
        rows[0].PrematureAupr.Should().BeApproximately((1 + (2 / 3.0)) / 2, 1e-15);
        rows.Select(row => row.PrematureFpr95).Should().Equal(1 / 2.0, null);
        rows[0].Aupr.Should().Be(1, "the only correct answer is the most confident one");
        rows[0].Fpr95.Should().Be(0);

        Predictions other = predictions with { Scores = tensor(new[] { 0.1f, 1, 0.8f, 1, 0.2f, 1, 0.9f, 1 }, [4, 2]) };
        ExitRow byScore = Diagnostics.Exits(other, new ThresholdPolicy(Confidence, [0.6f, 0]), ClassGroup.FromCounts([10, 10])).First();
        (byScore.PrematureAuroc, byScore.PrematureAupr, byScore.PrematureFpr95).Should().Be((1, 1, 0), "that is the score that decides");
        byScore.Auroc.Should().Be(rows[0].Auroc);
    }

    [Fact]
    public void An_exit_that_nobody_leaves_at_has_no_accuracy_of_those_who_leave()
    {
        using DisposeScope scope = NewDisposeScope();
        Predictions predictions = Predictions(labels: [0], classes: [[0, 0]], confidence: [[0.9f, 0.9f]]);

        Diagnostics.Exits(
            predictions, new ThresholdPolicy(Confidence, [BudgetedInference.Never, BudgetedInference.Always]),
            ClassGroup.FromCounts([1, 1]))
            .Select(row => (row.Share, row.AccuracyLeaving)).Should().Equal((0, null), (1, 1));
    }

    [Fact]
    public void Confidences_correlate_by_their_ranks()
    {
        using DisposeScope scope = NewDisposeScope();
        Predictions predictions = Predictions(
            labels: [0, 0, 0], classes: [[0, 0, 0], [0, 0, 0], [0, 0, 0]], confidence:
            [
                [0.1f, 0.2f, 0.5f], [0.2f, 0.9f, 0.4f], [0.9f, 0.3f, 0.4f],
            ]);

        CorrelationRow[] rows = [.. Diagnostics.Correlations(predictions)];

        rows.Select(row => (row.ExitA, row.ExitB)).Should().Equal((1, 2), (1, 3), (2, 3));
        rows.Select(row => row.Spearman!.Value).Should()
            .Equal([0.5, -Math.Sqrt(0.75), -Math.Sqrt(0.75)], (one, other) => Math.Abs(one - other) < 1e-12);
        Diagnostics.Correlations(Predictions([0], [[0, 0]], [[0.5f, 0.5f]])).Single().Spearman.Should().BeNull("one image has no ranks");
    }

    [Fact]
    public void Classes_of_a_long_tail_are_looked_at_by_thirds_and_those_of_a_balanced_set_together()
    {
        ClassGroup.FromCounts([5, 500, 50, 5, 200, 20, 100]).Select(group => (group.Name, Classes: string.Join(',', group.Classes)))
            .Should()
            .Equal(
            ("all", "1,4,6,2,5,0,3"), ("head", "1,4,6"), ("medium", "2,5"), ("tail", "0,3"));
        ClassGroup.FromCounts([50, 51, 49]).Should().ContainSingle().Which.Name.Should().Be("all");
        ClassGroup.FromCounts([1, 9]).Should().ContainSingle("two classes have no three groups");
        ClassGroup.FromCounts([1, 2, 1, 2]).Should()
            .ContainSingle("a set that was cut may have an image more in one class than in another");
        ClassGroup.FromCounts([3, 0, 1]).Select(group => group.Name).Should().Equal("all", "head", "medium", "tail");
    }

    private static Predictions Predictions(long[] labels, long[][] classes, float[][] confidence)
    {
        long images = labels.Length, exits = classes[0].Length;
        var set = new ImageSet(zeros([images, 3, 32, 32], uint8), tensor(labels), arange(Held(0), Held(images), One, int64), ["a", "b"]);
        Tensor sure = tensor(confidence.SelectMany(row => row).ToArray(), [images, exits]);
        return new Predictions(
            set, tensor(classes.SelectMany(row => row).ToArray(), [images, exits]), sure, sure, zeros([images, exits]),
            ones([images, exits], ScalarType.Bool));
    }
}

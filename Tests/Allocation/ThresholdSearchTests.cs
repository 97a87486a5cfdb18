using Imta.MetaWeight.Allocation;

namespace Imta.MetaWeight.Tests.Allocation;

/// <summary>The search for the most accurate thresholds within a budget.</summary>
public sealed class ThresholdSearchTests
{
    private static readonly long[] Costs = [10, 25, 45, 70, 100];

    [Fact]
    public void Of_a_few_images_at_up_to_three_exits_it_is_the_best_of_all() => Laws.HoldFor(300, random =>
    {
        using DisposeScope scope = NewDisposeScope();
        (int samples, int exits) = (1 + random.Next(8), 1 + random.Next(3));
        (Tensor scores, Tensor correct) = Draw(random, samples, exits, levels: 2 + random.Next(8));
        long[] macs = Costs[..exits];
        double budget = Budget(random, samples, macs);

        BudgetedOutcome found = ThresholdSearch.Maximise(ExitCriteria.Confidence, scores, correct, macs, budget).Apply(scores, correct);

        IEnumerable<float[]> all = [[]];
        for (int k = 0; k < exits - 1; k++)
        {
            float[] tried = [BudgetedInference.Never, .. scores.select(1, k).contiguous().data<float>().ToArray().Distinct()];
            all = [.. from one in all from threshold in tried select (float[])[.. one, threshold]];
        }

        (long Right, long Cost) best = all
            .Select(thresholds => new ThresholdPolicy(ExitCriteria.Confidence, [.. thresholds, BudgetedInference.Always]))
            .Select(policy => policy.Apply(scores, correct)).Select(outcome => (Right: outcome.Correct.Sum(), Cost: Cost(outcome, macs)))
            .Where(outcome => outcome.Cost <= budget * samples).OrderByDescending(outcome => outcome.Right)
            .ThenBy(outcome => outcome.Cost).First();
        (found.Correct.Sum(), Cost(found, macs)).Should().Be(best);
    });

    [Fact]
    public void It_is_within_the_budget_and_never_worse_than_geometric_shares() => Laws.HoldFor(60, random =>
    {
        using DisposeScope scope = NewDisposeScope();
        (int samples, int exits) = (1 + random.Next(120), 2 + random.Next(4));
        (Tensor scores, Tensor correct) = Draw(random, samples, exits, levels: random.Next(2) == 0 ? 5 : 100_000);
        long[] macs = Costs[..exits];
        double budget = Budget(random, samples, macs);
        ThresholdPolicy shares = Calibration.ToQuotas(
            ExitCriteria.Confidence, scores, Calibration.QuotasForMacs(scores, macs, budget).Quotas);

        BudgetedOutcome found = ThresholdSearch.Maximise(ExitCriteria.Confidence, scores, correct, macs, budget).Apply(scores, correct);

        Cost(found, macs).Should().BeLessThanOrEqualTo((long)(budget * samples));
        found.Correct.Sum().Should().BeGreaterThanOrEqualTo(shares.Apply(scores, correct).Correct.Sum());
    });

    [Fact]
    public void It_is_the_same_each_time_and_refuses_a_budget_below_exit_1()
    {
        using DisposeScope scope = NewDisposeScope();
        (Tensor scores, Tensor correct) = Draw(new System.Random(1), 200, 5, levels: 100_000);

        ThresholdPolicy Search(double budget) => ThresholdSearch.Maximise(ExitCriteria.Confidence, scores, correct, Costs, budget);

        Search(40).Thresholds.Should().Equal(Search(40).Thresholds);
        Action less = () => Search(9);
        less.Should().Throw<ArgumentOutOfRangeException>();
    }

    [Fact]
    public void Of_five_thousand_images_at_five_exits_it_finds_more_than_geometric_shares()
    {
        using DisposeScope scope = NewDisposeScope();
        (Tensor scores, Tensor correct) = Draw(new System.Random(2), 5000, 5, levels: 1 << 20);
        ThresholdPolicy shares = Calibration.ToQuotas(
            ExitCriteria.Confidence, scores, Calibration.QuotasForMacs(scores, Costs, 45).Quotas);

        BudgetedOutcome found = ThresholdSearch.Maximise(ExitCriteria.Confidence, scores, correct, Costs, 45).Apply(scores, correct);

        found.Correct.Sum().Should().BeGreaterThan(shares.Apply(scores, correct).Correct.Sum());
        found.MeanMacs(Costs).Should().BeLessThanOrEqualTo(45);
    }

    /// <summary>Answers that have nothing to do with scores: all that is gained is overfitting.</summary>
    [Fact]
    public void Cross_fitting_shows_what_a_search_gains_on_its_own_images_alone()
    {
        using DisposeScope scope = NewDisposeScope();
        using var generator = new Generator(5);
        Tensor scores = rand([300, 4], generator: generator), correct = rand([300, 4], generator: generator).lt(Held(0.5));
        long[] macs = Costs[..4];

        CrossFitting found = CrossFitting.Fit(
            (own, right) => ThresholdSearch.Maximise(ExitCriteria.Confidence, own, right, macs, 40), scores, correct, macs,
            randperm(300, int64, generator: generator));

        found.FittedAccuracy.Should().BeGreaterThan(0.55);
        found.OtherAccuracy.Should().BeInRange(0.42, 0.55);
        found.OtherMacs.Should().BeInRange(10, 50);
    }

    private static (Tensor Scores, Tensor Correct) Draw(System.Random random, int samples, int exits, int levels)
    {
        float[] scores = [.. Enumerable.Range(0, samples * exits).Select(_ => random.Next(levels) / (float)levels)];
        bool[] correct = [.. scores.Select(score => random.NextDouble() < 0.3 + (0.5 * score))];
        return (tensor(scores, [samples, exits]), tensor(correct, [samples, exits]));
    }

    /// <summary>Between two possible costs, which rounding then cannot take for each other.</summary>
    private static double Budget(System.Random random, int samples, long[] macs)
        => (random.NextInt64(macs[0] * samples, (macs[^1] * samples) + 1) + 0.5) / samples;

    private static long Cost(BudgetedOutcome outcome, long[] macs) => outcome.Leaving.Zip(macs, (count, cost) => count * cost).Sum();
}

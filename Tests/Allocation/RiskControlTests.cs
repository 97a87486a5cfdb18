using Imta.MetaWeight.Allocation;

namespace Imta.MetaWeight.Tests.Allocation;

/// <summary>Losses of early answers, their bounds and tests, by hand and by their definitions.</summary>
public sealed class RiskControlTests
{
    private const double Delta = 0.1;

    [Fact]
    public void Losses_compare_each_exit_with_the_last()
    {
        using DisposeScope scope = NewDisposeScope();
        // Exit 1 answers 0, exit 2 answers 1.
        Tensor probabilities = tensor(new[] { 0.6, 0.3, 0.1, 0.2, 0.7, 0.1, 0.6, 0.3, 0.1, 0.2, 0.7, 0.1 }, [2, 2, 3]);
        Tensor labels = tensor(new[] { 1L, 0L });

        Losses(ExitRisk.Gap).Should().Equal(1, 0, -1, 0);
        Losses(ExitRisk.Consistency).Should().Equal(1, 0, 1, 0);
        const double First0 = 0.16 + 0.09 + 0.01, First1 = 0.36 + 0.49 + 0.01, Last0 = 0.64 + 0.49 + 0.01, Last1 = 0.04 + 0.09 + 0.01;
        Losses(ExitRisk.BrierGap).Should().Equal([First1 - Last1, 0, First0 - Last0, 0], Near);
        Losses(ExitRisk.BrierConsistency).Should().Equal([First1 - Last1, 0, First1 - Last1, 0], Near);

        double[] Losses(ExitRisk risk) => risk.Losses(probabilities, labels).data<double>().ToArray();
    }

    [Fact]
    public void A_sample_leaves_above_the_threshold_and_not_at_it_and_the_policy_says_the_same()
    {
        using DisposeScope scope = NewDisposeScope();
        float third = 1 / 3f; // above the double 1/3
        Tensor scores = tensor(new[] { 0.5f, 0.5f, 0.1f, MathF.BitIncrement(0.5f), 0, 0, 1, 1, 1, third, third, third }, [4, 3]);
        var images = new SharedThreshold(scores, scores);

        SharedThreshold.Grid(4).Should().Equal(1, 0.75, 0.5, 0.25, 0);
        images.ExitsAt(0.5).Should().Equal(2, 0, 0, 2);
        images.LossesAt(0.5)[2].Should().Be(1, "the loss is that of the exit where it leaves");
        images.ExitsAt(1).Should().OnlyContain(exit => exit == 2, "nothing leaves early at 1");
        foreach (double threshold in (double[])[1, 0.5, 1.0 / 3, third, 0.25, 0])
        {
            SharedThreshold.Policy(ExitCriteria.Confidence, threshold, 3).ExitOf(scores).data<long>().ToArray()
                .Should().Equal(images.ExitsAt(threshold).Select(exit => (long)exit), $"of {threshold}");
        }
    }

    [Fact]
    public void The_grid_falls_from_1_to_0_and_is_fine_where_overconfident_networks_score()
    {
        double[] grid = [.. SharedThreshold.FineGrid];

        grid.Zip(grid[1..]).Should().OnlyContain(pair => pair.First > pair.Second);
        (grid[0], grid[^1]).Should().Be((1, 0));
        grid[1].Should().BeApproximately(1 - 1e-6, 1e-12);
        grid.Count(threshold => threshold is < 1 and >= 0.999).Should().Be(61);
        grid.Should().Contain(0.5);
    }

    /// <summary>Four images at two exits; the second and the third lose where they leave early, at scores of 0.6 and 0.2.</summary>
    [Fact]
    public void A_simulation_says_what_its_thresholds_do_to_all_images()
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(1);
        Tensor scores = tensor(new[] { 0.9f, 1, 0.6f, 1, 0.2f, 1, 0.8f, 1 }, [4, 2]);
        var images = new SharedThreshold(scores, tensor(new[] { 0.0, 0, 1, 0, 1, 0, 0, 0 }, [4, 2]));
        var target = new RiskTarget(ExitRisk.Gap, 0.01, null, RiskControlMethod.Crc);

        // A sample of 500 has about 125 of each: with n/(n + 1) R + 1/(n + 1) <= 0.01 only the first and the last may leave early.
        RiskCoverage found = RiskCoverage.Measure(target, images, images, [1, 0.7, 0.5, 0], samples: 500, repetitions: 20, random);
        RiskCoverage all = RiskCoverage.Measure(
            target with { Epsilon = 0.9 }, images, images, [1, 0.7, 0.5, 0], samples: 500, repetitions: 20, random);

        (found.Violations, found.Risk, found.Error).Should().Be((0, 0, 0));
        found.Shares.Should().Equal([0.5, 0.5], (one, other) => Math.Abs(one - other) < 1e-12);
        all.Risk.Should().BeApproximately(0.5, 1e-12);
        all.Shares.Should().Equal([1, 0], (one, other) => Math.Abs(one - other) < 1e-12);
        RiskCoverage broken = RiskCoverage.Measure(
            target, new SharedThreshold(scores, zeros([4, 2])), images, [1, 0.7, 0.5, 0], samples: 500, repetitions: 20, random);
        (broken.Violations, broken.Risk).Should().Be((1, 0.5));
    }

    [Fact]
    public void A_bet_depends_on_earlier_losses_only_and_the_bound_is_where_the_capital_is_one_over_delta() => Laws.HoldFor(50, random =>
    {
        double most = 1 + random.Next(2);
        double[] losses = [.. Enumerable.Range(0, 5 + random.Next(60)).Select(_ => most * ((random.NextDouble() * 1.2) - 0.4))];
        var bound = new BettingBound(losses, Delta, most);
        double value = bound.UpperBound();

        (value is > 0 and <= 2).Should().BeTrue();
        if (value is > 1e-9 and < 1)
        {
            bound.LogCapital(value).Should().BeApproximately(0, 1e-9);
            bound.LogCapital(value * 1.01).Should().BePositive();
            bound.LogCapital(value * 0.99).Should().BeNegative();
        }

        losses[^1] = most;
        new BettingBound(losses, Delta, most).Bets.Should().Equal(bound.Bets);
    });

    [Fact]
    public void Bounds_that_nothing_speaks_for_are_the_largest_loss_and_bounds_are_never_0()
    {
        new BettingBound([1, 1, 1], Delta, 1).UpperBound().Should().Be(1);
        new BettingBound([1, 1, 1], Delta, 2).UpperBound().Should().Be(2);
        new BettingBound([.. Enumerable.Repeat(-1.0, 500)], Delta, 1).UpperBound().Should().Be(1e-10);
    }

    [Fact]
    public void P_values_of_integer_counts_are_those_of_the_binomial_distribution()
    {
        double tail = Math.Pow(0.9, 3) + (3 * 0.1 * Math.Pow(0.9, 2));

        LearnThenTest.Binomial(1, 3, 0.1).Should().BeApproximately(tail, 1e-14);
        LearnThenTest.HoeffdingBentkus(0, 3, 0.1).Should().BeApproximately(Math.Pow(0.9, 3), 1e-14);
        LearnThenTest.HoeffdingBentkus(3, 3, 0.1).Should().Be(1);
        LearnThenTest.Binomial(25_000, 50_000, 0.51).Should().BeInRange(3e-6, 5e-6, "large samples converge: 4.5 standard deviations");
        RiskControl.PValue(ExitRisk.Gap, [1, -1, 0], 0.1).Should().Be(LearnThenTest.Binomial(1, 3, 0.1));
        RiskControl.PValue(ExitRisk.BrierGap, [1, -1, 0], 0.2).Should().Be(LearnThenTest.HoeffdingBentkus(0.5, 3, 0.1));
    }

    [Fact]
    public void The_upper_bound_of_a_count_is_that_of_Clopper_and_Pearson()
    {
        LearnThenTest.UpperBound(epsilon => LearnThenTest.Binomial(0, 20, epsilon), Delta)
            .Should().BeApproximately(1 - Math.Pow(Delta, 1 / 20.0), 1e-12);
        LearnThenTest.UpperBound(epsilon => LearnThenTest.Binomial(20, 20, epsilon), Delta).Should().Be(1);
    }

    [Fact]
    public void A_walk_ends_before_the_first_threshold_that_is_not_certified()
    {
        bool[] certified = [true, true, false, true];

        LearnThenTest.FixedSequence(4, at => certified[at]).Should().Be(1, "what comes later does not count");
        LearnThenTest.FixedSequence(2, at => certified[at]).Should().Be(1);
        LearnThenTest.FixedSequence(4, _ => false).Should().Be(-1);
    }

    /// <summary>Leaving at exit 2 is wrong, at exit 1 right again: a mean that falls on the way says nothing.</summary>
    [Fact]
    public void Conformal_control_counts_the_largest_loss_of_each_sample_on_the_way()
    {
        double[][] losses = [[0, 0], [1, 0], [0, 0], [-1, 1]];

        RiskControl.MonotoneRisks(4, at => losses[at], out int samples).Should().Equal(0, 0.5, 0.5, 1);
        samples.Should().Be(2);
        RiskControl.Conformal([0, 0.5, 0.5, 1], 2, 1, 0.7).Should().Be(2, "(2 · 0.5 + 1) / 3 is below 0.7");
        RiskControl.Conformal([0, 0.5, 0.5, 1], 2, 1, 0.3).Should().Be(0, "even no loss would be too much for two samples");
    }

    [Theory]
    [InlineData(RiskControlMethod.Crc)]
    [InlineData(RiskControlMethod.Ucb)]
    [InlineData(RiskControlMethod.Ltt)]
    public void Where_nothing_is_certified_nothing_leaves_early_and_what_is_certified_is_bounded(RiskControlMethod method)
    {
        double? delta = method == RiskControlMethod.Crc ? null : Delta;
        double[] few = new double[3], many = new double[400], wrong = [.. Enumerable.Repeat(1.0, 400)];
        var target = new RiskTarget(ExitRisk.Gap, 0.05, delta, method);

        RiskControl.Choose(target, 5, _ => few).Should().Be(new ControlledThreshold(0, 0, 0));
        ControlledThreshold found = RiskControl.Choose(target, 5, at => at < 3 ? many : wrong);

        (found.Index, found.Risk).Should().Be((2, 0));
        found.Bound.Should().BePositive().And.BeLessThanOrEqualTo(0.05);
    }

    private static bool Near(double one, double other) => Math.Abs(one - other) < 1e-12;
}

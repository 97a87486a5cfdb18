using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Allocation;

namespace Imta.MetaWeight.Tests.Allocation;

/// <summary>Criteria, and policies that are calibrated by held-out samples.</summary>
public sealed class CalibrationTests
{
    private static readonly long[] Macs = [10, 25, 45, 100];

    [Fact]
    public void Scores_are_between_0_and_1_and_grow_with_certainty()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor logits = tensor(new[] { 0f, 0, 0, 1, 0, 0, 5, 0, 0, 500, 0, 0 }, [4, 3]);

        foreach (IExitCriterion criterion in ExitCriteria.All)
        {
            float[] scores = criterion.Score(logits).data<float>().ToArray();
            scores.Should().BeInAscendingOrder().And.OnlyContain(score => score >= 0 && score <= 1);
            scores[^1].Should().BeApproximately(1, 1e-6f, criterion.Name);
        }

        ExitCriteria.Confidence.Score(logits).data<float>().First().Should().BeApproximately(1 / 3f, 1e-6f);
        ExitCriteria.Entropy.Score(logits).data<float>().First().Should().BeApproximately(0, 1e-6f);
    }

    [Fact]
    public void Entropy_is_1_minus_that_of_the_probabilities_by_the_largest()
    {
        using DisposeScope scope = NewDisposeScope();
        double[] p = [0.7, 0.2, 0.1];

        float score = ExitCriteria.Entropy.Score(tensor(p).log().to_type(float32)).item<float>();

        score.Should().BeApproximately((float)(1 + (p.Sum(x => x * Math.Log(x)) / Math.Log(3))), 1e-6f);
    }

    [Fact]
    public void Samples_divide_over_the_exits_as_was_asked_and_thresholds_stand_apart_from_their_scores() => ForAll(DivideAndStandApart);

    [Fact]
    public void Thresholds_separate_scores_that_are_neighbouring_floats()
        => ForAll((scores, random) => DivideAndStandApart(Dense(scores.shape[0], random), random));

    /// <summary>Two samples at an exit's threshold are neighbouring floats.</summary>
    [Fact]
    public void Thresholds_separate_neighbouring_floats_among_others() => Of(945328790, DivideAndStandApart);

    [Fact]
    public void Mean_costs_are_within_the_budget_and_near_it() => ForAll((scores, random) =>
    {
        double budget = Macs[0] + (random.NextDouble() * (Macs[^1] - Macs[0]));

        (int[] quotas, double? q) = Calibration.QuotasForMacs(scores, Macs, budget);

        double cost = MeanMacs(Calibration.ToQuotas(ExitCriteria.Confidence, scores, quotas), scores);
        cost.Should().BeLessThanOrEqualTo(budget * (1 + 1e-6));
        if (q is not null)
        {
            float[] shares = ExitShares.FromQ(4 * (1 - random.NextDouble()), Macs.Length);
            double other = MeanMacs(Calibration.ToShares(ExitCriteria.Confidence, scores, shares), scores);
            (other > budget || cost >= other - (Macs[^1] * 2.0 / scores.shape[0])).Should().BeTrue("a budget is there to be used");
        }
        else
        {
            double step = (Macs[1] - Macs[0]) * Math.Max(1.0, scores.shape[0] / 121) / scores.shape[0];
            cost.Should().BeGreaterThan(Math.Min(budget, Macs[1]) - step - 1e-3, "exits 1 and 2 use it to a step");
        }
    });

    [Fact]
    public void A_budget_that_no_exit_is_within_is_refused()
    {
        using DisposeScope scope = NewDisposeScope();

        Action less = () => Calibration.QuotasForMacs(rand([20, 4]), Macs, 9.5);
        Action nothing = () => Calibration.QuotasForMacs(rand([20, 4]), Macs, double.NaN);

        less.Should().Throw<ArgumentOutOfRangeException>().WithMessage("*less than the cost of exit 1, 10*");
        nothing.Should().Throw<ArgumentOutOfRangeException>();
    }

    [Fact]
    public void Answers_that_are_no_numbers_have_score_0_and_leave_at_the_last_exit()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor logits = tensor(new[] { float.NaN, 1, 2, float.PositiveInfinity, 1, 2, 3, 1, 2 }, [3, 3]);

        foreach (IExitCriterion criterion in ExitCriteria.All)
        {
            Tensor scores = criterion.Score(logits);
            scores.data<float>().ToArray()[..2].Should().Equal(0, 0);
            Tensor two = stack([scores, scores], 1); // the same at two exits
            new ThresholdPolicy(criterion, [0.1f, 0]).ExitOf(two).data<long>().ToArray().Should().Equal(1, 1, 0);
            BudgetedInference.Apply(two, two.gt(Held(0)), tensor(new[] { 0.1f, BudgetedInference.Always }, [1, 2]))[0].Leaving.Should()
                .Equal(1, 2);
        }
    }

    /// <summary>
    /// Each threshold is above every lower score than the one it was found at, and no score itself unless the next lower float is one.
    /// Equal scores leave together, as the published search has it.
    /// </summary>
    private static void DivideAndStandApart(Tensor scores, System.Random random)
    {
        double[] parts = [.. Enumerable.Range(0, Macs.Length).Select(_ => random.Next(4) * random.NextDouble())];
        parts[random.Next(parts.Length)] += 1;
        float[] shares = [.. parts.Select(part => (float)(part / parts.Sum()))];
        int[] quotas = ExitShares.Quotas(shares, scores.shape[0]);
        Tensor published = BudgetedInference.Thresholds(scores, [quotas]);
        float[][] columns = [.. Enumerable.Range(0, Macs.Length).Select(k => scores.select(1, k).contiguous().data<float>().ToArray())];

        ThresholdPolicy policy = Calibration.ToShares(ExitCriteria.Confidence, scores, shares);

        Leaving(policy, scores).Should().Equal(BudgetedInference.Apply(scores, zeros_like(scores).gt(Held(0)), published)[0].Leaving);
        if (columns.All(column => column.Distinct().Count() == column.Length))
        {
            Leaving(policy, scores).Should().Equal(quotas.Select(quota => (long)quota));
        }

        foreach ((float own, float threshold, float[] column) in published.data<float>().ToArray().Zip(policy.Thresholds, columns))
        {
            threshold.Should().BeLessThanOrEqualTo(own);
            column.Should().NotContain(score => score < own && score >= threshold);
            column.Contains(threshold).Should().Be(column.Contains(own) && (own == 0 || column.Contains(MathF.BitDecrement(own))));
        }
    }

    /// <summary>Scores of which most are neighbouring floats, in any order, <c>[N, K]</c>.</summary>
    private static Tensor Dense(long samples, System.Random random)
    {
        float[] Column()
        {
            int bits = BitConverter.SingleToInt32Bits(0.5f) - random.Next((int)samples); // across a power of 2
            float[] column =
            [
                .. Enumerable.Range(0, (int)samples).Select(_ => BitConverter.Int32BitsToSingle(bits += random.Next(4) == 0 ? 2 : 1)),
            ];
            random.Shuffle(column);
            return column;
        }

        return stack([.. Enumerable.Range(0, Macs.Length).Select(_ => tensor(Column()))], 1);
    }

    private static long[] Leaving(ThresholdPolicy policy, Tensor scores)
    {
        long[] exits = policy.ExitOf(scores).data<long>().ToArray();
        return [.. Enumerable.Range(0, Macs.Length).Select(k => exits.LongCount(exit => exit == k))];
    }

    private static double MeanMacs(ThresholdPolicy policy, Tensor scores)
        => Leaving(policy, scores).Zip(Macs, (count, macs) => count * (double)macs).Sum() / scores.shape[0];

    private static void ForAll(Action<Tensor, System.Random> law)
        => Prop.ForAll(Arb.From(Gen.Choose(0, int.MaxValue)), seed => Of(seed, law)).Hold();

    private static void Of(int seed, Action<Tensor, System.Random> law)
    {
        using DisposeScope scope = NewDisposeScope();
        using var generator = new Generator((ulong)seed);
        var random = new System.Random(seed);
        law(rand([1 + random.Next(200), Macs.Length], generator: generator), random);
    }
}

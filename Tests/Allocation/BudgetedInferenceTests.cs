using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Allocation;

namespace Imta.MetaWeight.Tests.Allocation;

/// <summary>The vectorised threshold search and what follows from it, against loops over samples.</summary>
public sealed class BudgetedInferenceTests
{
    /// <summary>
    /// N samples, K exits, P budgets and a seed; with ties the scores are of three values only, without an exit's all differ.
    /// </summary>
    public sealed record Case(int Samples, int Exits, int Points, int Seed, bool Ties)
    {
        public IReadOnlyList<int[]> Quotas
            => [.. Enumerable.Range(1, Points).Select(p => ExitShares.Quotas(ExitShares.FromQ(p / 20.0, Exits), Samples))];

        /// <summary>Scores float32 [N, K], and whether answers are right.</summary>
        public (Tensor Scores, Tensor Correct) Draw(int more = 0)
        {
            using var random = new Generator((ulong)Seed + (ulong)more);
            Tensor scores = Ties
                ? randint(1, 4, [Samples, Exits], float32, generator: random).div(Held(4))
                : stack([.. Enumerable.Range(0, Exits).Select(_ => randperm(Samples, float32, generator: random))], 1).div(Held(Samples));
            return (scores, rand([Samples, Exits], generator: random).gt(Held(0.4)));
        }
    }

    private static readonly Gen<Case> Cases =
        from samples in Gen.Choose(1, 60)
        from exits in Gen.Choose(1, 7)
        from points in Gen.Choose(1, 40)
        from seed in Gen.Choose(0, int.MaxValue)
        from ties in Gen.Elements(false, true)
        select new Case(samples, exits, points, seed, ties);

    [Fact]
    public void Thresholds_are_those_of_a_loop_over_samples() => ForAll(c =>
    {
        (Tensor scores, _) = c.Draw();
        float[] own = scores.data<float>().ToArray();

        float[] found = BudgetedInference.Thresholds(scores, c.Quotas).data<float>().ToArray();

        found.Should().Equal(c.Quotas.SelectMany(quotas => Loop(c, (i, k) => own[(i * c.Exits) + k], quotas)));
    });

    [Fact]
    public void Outcomes_are_those_of_a_loop_over_samples_and_of_the_policy() => ForAll(c =>
    {
        (Tensor scores, _) = c.Draw();
        (Tensor others, Tensor correct) = c.Draw(more: 1);
        Tensor thresholds = BudgetedInference.Thresholds(scores, c.Quotas);
        bool[] right = correct.data<bool>().ToArray();

        BudgetedOutcome[] outcomes = BudgetedInference.Apply(others, correct, thresholds);

        for (int p = 0; p < c.Points; p++)
        {
            var policy = new ThresholdPolicy(ExitCriteria.Confidence, thresholds.select(0, p).data<float>().ToArray());
            int[] exits = [.. policy.ExitOf(others).data<long>().ToArray().Select(exit => (int)exit)];
            exits.Should().Equal(Leaving(c, others, policy.Thresholds));
            outcomes[p].Leaving.Should().Equal(Enumerable.Range(0, c.Exits).Select(k => exits.LongCount(exit => exit == k)));
            outcomes[p].Correct.Should().Equal(
                Enumerable.Range(0, c.Exits).Select(k => exits.Where((exit, i) => exit == k && right[(i * c.Exits) + k]).LongCount()));
            policy.Apply(others, correct).Should().BeEquivalentTo(outcomes[p]);
            outcomes[p].Samples.Should().Be(c.Samples);
            outcomes[p].Accuracy.Should()
                .BeApproximately(exits.Select((exit, i) => right[(i * c.Exits) + exit] ? 1.0 : 0).Average(), 1e-12);
            outcomes[p].Shares.Sum().Should().BeApproximately(1, 1e-12);
        }
    });

    [Fact]
    public void Without_ties_each_exit_gets_its_quota() => ForAll(c =>
    {
        (Tensor scores, Tensor correct) = c.Draw();
        BudgetedOutcome[] outcomes = BudgetedInference.Apply(scores, correct, BudgetedInference.Thresholds(scores, c.Quotas));

        if (!c.Ties)
        {
            outcomes.SelectMany(outcome => outcome.Leaving).Should()
                .Equal(c.Quotas.SelectMany(quotas => quotas.Select(quota => (long)quota)));
        }
    });

    [Fact]
    public void Of_equal_scores_all_leave_and_an_exit_without_samples_lets_nobody_go()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor scores = tensor(new[] { 0.9f, 0.5f, 0.1f, 0.9f, 0.4f, 0.1f, 0.9f, 0.3f, 0.1f, 0.2f, 0.8f, 0.1f }, [4, 3]);

        Tensor found = BudgetedInference.Thresholds(scores, [[1, 1, 2], [0, 1, 3], [3, 2, 0]]);

        found.data<float>().ToArray().Should().Equal(
            0.9f, 0.8f, BudgetedInference.Always, // three leave for a quota of one
            BudgetedInference.Never, 0.8f, BudgetedInference.Always,
            0.9f, BudgetedInference.Never, BudgetedInference.Always); // one is left for a quota of two
    }

    [Fact]
    public void Mean_costs_weigh_each_exit_by_its_share()
    {
        var outcome = new BudgetedOutcome([1, 0, 3], [1, 0, 1]);

        outcome.Accuracy.Should().Be(0.5);
        outcome.MeanMacs([8, 100, 16]).Should().Be(14);
    }

    private static IEnumerable<float> Loop(Case c, Func<int, int, float> score, int[] quotas)
    {
        var gone = new HashSet<int>();
        for (int k = 0; k < c.Exits - 1; k++)
        {
            int exit = k;
            float[] left = [.. Enumerable.Range(0, c.Samples).Where(i => !gone.Contains(i)).Select(i => score(i, exit)).OrderDescending()];
            float threshold = quotas[k] > 0 && quotas[k] <= left.Length ? left[quotas[k] - 1] : 1e8f;
            gone.UnionWith(Enumerable.Range(0, c.Samples).Where(i => score(i, exit) >= threshold));
            yield return threshold;
        }

        yield return -1e8f;
    }

    private static IEnumerable<int> Leaving(Case c, Tensor scores, IReadOnlyList<float> thresholds)
    {
        float[] own = scores.data<float>().ToArray();
        return Enumerable.Range(0, c.Samples)
            .Select(i => Enumerable.Range(0, c.Exits).First(k => k == c.Exits - 1 || own[(i * c.Exits) + k] >= thresholds[k]));
    }

    private static void ForAll(Action<Case> law) => Prop.ForAll(Arb.From(Cases), c =>
    {
        using DisposeScope scope = NewDisposeScope();
        law(c);
    }).Hold();
}

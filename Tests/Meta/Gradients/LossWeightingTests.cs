using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Training;
using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Tests.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Tests.Meta.Gradients;

/// <summary>Weights of the exits' losses, whatever the losses are.</summary>
public sealed class LossWeightingTests : IDisposable
{
    private const int Cases = 100;

    private readonly DisposeScope _scope = NewDisposeScope();

    public static TheoryData<string> Methods => ["dwa", "uncertainty", "gradNorm", "lossEqual"];

    [Fact]
    public void Dynamic_weights_are_1_for_two_epochs_and_sum_to_the_exits_then() => Laws.HoldFor(Cases, random =>
    {
        using DisposeScope scope = NewDisposeScope();
        using var combination = new DynamicWeightAverage(new DynamicWeightAverageOptions());
        int exits = random.Next(1, 8);
        double[] mean = [], before = [];
        for (int epoch = 0; epoch < 4; epoch++)
        {
            double[][] losses = [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => Losses(random, exits))];
            double[] powers = [.. losses[0].Select((_, k) => epoch < 2 ? 1 : Math.Exp(mean[k] / before[k] / 2))];
            double[] expected = [.. powers.Select(power => exits * power / powers.Sum())];
            foreach (double[] step in losses)
            {
                Of(combination, step).Should().Equal(expected, (a, b) => Math.Abs(a - b) < 1e-10 * exits);
            }

            combination.EndEpoch();
            (before, mean) = (mean, [.. Enumerable.Range(0, exits).Select(k => losses.Average(step => step[k]))]);
        }
    });

    [Fact]
    public void Losses_times_their_equalising_weights_are_equal_and_do_not_depend_on_their_scales() => Laws.HoldFor(Cases, random =>
    {
        using DisposeScope scope = NewDisposeScope();
        using var combination = new LossEqual(new LossEqualOptions());
        double[] losses = Losses(random, 5);

        for (int step = 0; step < 3; step++)
        {
            losses.Zip(Of(combination, losses), (loss, weight) => loss * weight).Should()
                .OnlyContain(product => Math.Abs(product - losses.Average()) < 1e-10);
        }
    });

    [Fact]
    public void Log_variances_go_to_where_the_total_loss_is_least() => Laws.HoldFor(10, random =>
    {
        using DisposeScope scope = NewDisposeScope();
        using var combination = new UncertaintyWeighting(new UncertaintyOptions { Rate = 0.5, Start = -0.5 });
        double[] losses = Losses(random, 3);

        Of(combination, losses).Should().OnlyContain(weight => Math.Abs(weight - (Math.Exp(0.5) / 2)) < 1e-12);
        for (int step = 0; step < 500; step++)
        {
            Of(combination, losses);
        }

        Of(combination, losses).Zip(losses, (weight, loss) => 2 * weight * loss).Should()
            .OnlyContain(one => Math.Abs(one - 1) < 1e-6, "(l e^−s + s)/2 is least where e^s = l");
    });

    /// <summary>Which is its objective's least value with α = 0.</summary>
    [Fact]
    public void GradNorm_without_restoring_force_goes_to_weighted_gradients_of_one_norm() => Laws.HoldFor(10, random =>
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor norms = tensor(Losses(random, 4)), s = zeros(4, float64);
        for (int step = 0; step < 8000; step++)
        {
            s = s.sub(GradNorm.Slope(s, ones_like(norms), norms, alpha: 0).mul(Held(1e-3)));
        }

        double[] weighted = GoldenFile.Values(GradNorm.WeightsAt(s).mul(norms));
        GoldenFile.Values(GradNorm.WeightsAt(s)).Sum().Should().BeApproximately(4, 1e-10);
        weighted.Should().OnlyContain(one => Math.Abs(one - weighted.Average()) < 0.05 * weighted.Average());
    });

    [Theory]
    [InlineData("dwa", 1)]
    [InlineData("uncertainty", 0.5)]
    [InlineData("gradNorm", 1)]
    [InlineData("lossEqual", 1)]
    public void Of_one_exit_the_first_direction_is_its_gradient_times_its_weight(string method, double weight)
    {
        using IGradientCombination combination = Combination(method);

        Direction(combination, new LinearPass(tensor(new[,] { { 2.0 }, { 3.0 } }))).Should().Equal(weight * 2.5);
    }

    [Theory]
    [MemberData(nameof(Methods))]
    public void A_state_that_is_loaded_goes_on_as_the_one_that_was_saved_and_a_step_can_be_undone(string method)
    {
        using IGradientCombination whole = Combination(method), broken = Combination(method), resumed = Combination(method);
        for (int step = 0; step < 8; step++)
        {
            if (step == 5)
            {
                resumed.LoadState(broken.State);
            }

            IGradientCombination goesOn = step < 5 ? broken : resumed;
            using (var before = new ModelSnapshot(goesOn))
            {
                Direction(goesOn, new LinearPass(full([2, 3], Held(double.NaN), float64)));
                before.Restore();
            }

            LinearPass pass = Pass(seed: step);
            Direction(goesOn, pass).Should().Equal(Direction(whole, pass));
            if (step % 2 == 1)
            {
                whole.EndEpoch();
                goesOn.EndEpoch();
            }
        }

        whole.State.Group(IGradientCombination.StateGroup).Tensors.Should().NotBeEmpty();
    }

    [Theory]
    [MemberData(nameof(Methods))]
    public void Processes_have_the_weights_of_the_mean_losses(string method)
    {
        using IGradientCombination alone = Combination(method);
        LinearPass[] shards = [Pass(1), Pass(2)];
        var both = new LinearPass(cat([.. shards.Select(shard => shard.Losses)]));

        double[][][] found = ThreadGroup.Run(2, all =>
        {
            using IGradientCombination one = Combination(method);
            return Enumerable.Range(0, 5).Select(_ => Stepped(one, shards[all.Shard.Rank], all.AllReduceMean)).ToArray();
        });

        for (int step = 0; step < 5; step++)
        {
            double[] expected = Stepped(alone, both);
            foreach (double[][] rank in found)
            {
                rank[step].Should().Equal(expected, (a, b) => Math.Abs(a - b) < 1e-12);
            }
        }

        static double[] Stepped(IGradientCombination combination, LinearPass pass, Averaging? averaging = null)
        {
            double[] direction = Direction(combination, pass, averaging);
            combination.EndEpoch();
            return direction;
        }
    }

    [Theory]
    [MemberData(nameof(Methods))]
    public void An_exit_without_loss_leaves_weights_finite(string method)
    {
        using IGradientCombination combination = Combination(method);
        for (int step = 0; step < 4; step++)
        {
            Direction(combination, new LinearPass(tensor(new[,] { { 0.0, 1 }, { 0, 2 } }))).Should().OnlyContain(x => double.IsFinite(x));
            combination.EndEpoch();
        }
    }

    [Fact]
    public void One_from_outside_keeps_what_it_needs_of_earlier_steps()
    {
        using LossWeighting whole = new RelativeToFirst(), resumed = new RelativeToFirst();

        Direction(whole, new LinearPass(tensor(new[,] { { 2.0, 4 } }))).Should().Equal(2, 4);
        resumed.LoadState(whole.State);

        Direction(resumed, new LinearPass(tensor(new[,] { { 1.0, 8 } }))).Should().Equal(2, 4);
    }

    public void Dispose() => _scope.Dispose();

    private static IGradientCombination Combination(string name)
    {
        CombinationMethod method = Registries.Combinations.Find(name);
        return method.Build(method.DefaultOptions(), _ => throw new NotSupportedException());
    }

    private static double[] Losses(System.Random random, int exits)
        => [.. Enumerable.Range(0, exits).Select(_ => 0.1 + (3 * random.NextDouble()))];

    private static double[] Of(LossWeighting combination, double[] losses)
    {
        using DisposeScope scope = NewDisposeScope();
        return GoldenFile.Values(combination.Weights(tensor(losses)));
    }

    private static LinearPass Pass(int seed)
    {
        var random = new System.Random(seed);
        return new LinearPass(stack([tensor(Losses(random, 3)), tensor(Losses(random, 3))]));
    }

    private static double[] Direction(IGradientCombination combination, LinearPass pass, Averaging? averaging = null)
    {
        using DisposeScope scope = NewDisposeScope();
        long samples = pass.Losses.shape[0];
        Tensor cotangent = full_like(pass.Losses, Held(1.0 / samples));
        return GoldenFile.Values(averaging.Mean(combination.Combine(pass, cotangent, averaging), samples)[0]!);
    }

    private sealed class RelativeToFirst : LossWeighting
    {
        public override Tensor Weights(Tensor losses)
        {
            Keep("first", Kept("first") ?? losses);
            return Kept("first")!.div(losses);
        }
    }

    /// <summary>Losses that are linear in one parameter for each exit, which is 1: Σ_k v_k g_k is v_k l_k, side by side.</summary>
    private sealed record LinearPass(Tensor Losses) : IForward
    {
        public IReadOnlyList<Tensor> Logits => [];

        public Tensor CrossEntropies => Losses;

        public IReadOnlyList<Tensor?> Gradient(Tensor cotangent) => [(cotangent * Losses).sum([0])];
    }
}

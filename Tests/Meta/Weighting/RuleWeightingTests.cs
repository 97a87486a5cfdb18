using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Tests.Meta.Weighting;

/// <summary>Weights without a network: the ablations.</summary>
public sealed class RuleWeightingTests
{
    private const int Classes = 4;

    [Fact]
    public void Allocated_samples_make_the_loss_a_sum_of_means_over_the_exits_own_samples()
        => ForAll(options => new AllocatedWeighting(options), (options, logits, weights) =>
    {
        long samples = weights.shape[0];
        int[] quotas = ExitShares.Quotas(ExitShares.FromQ(options.Q, logits.Length), samples);
        long[] exits = MetaAllocation.Exits(Confidence.PerSample(logits), quotas).data<long>().ToArray();
        double[] w = weights.contiguous().data<double>().ToArray();
        for (int i = 0; i < samples; i++)
        {
            for (int k = 0; k < logits.Length; k++)
            {
                w[(i * logits.Length) + k].Should().BeApproximately(exits[i] == k ? (double)samples / quotas[k] : 0, 1e-12);
            }
        }
    });

    [Fact]
    public void Fixed_weights_say_more_at_the_samples_own_exit_and_have_mean_1_over_the_exits()
        => ForAll(options => new FixedWeighting(options), (options, logits, weights) =>
    {
        weights.mean([1]).sub(Held(1)).abs().max().item<double>().Should().BeLessThan(1e-14);
        long samples = weights.shape[0];
        int[] quotas = ExitShares.Quotas(ExitShares.FromQ(options.Q, logits.Length), samples);
        MetaAllocation.Exits(Confidence.PerSample(logits), quotas).eq(weights.argmax(1)).all().item<bool>().Should().BeTrue();
        weights.sub(Held(1)).abs().max().item<double>().Should().BeLessThanOrEqualTo(2 * options.Epsilon);
    });

    [Fact]
    public void A_loop_by_a_rule_trains_on_halves_with_its_weights_and_learns_nothing_else()
    {
        using DisposeScope scope = NewDisposeScope();
        using var tiny = new TinyBilevel();
        double[] weighting = tiny.WeightingState();
        var rule = new AllocatedWeighting(new MetaOptions { Q = 1 });

        IReadOnlyList<HalfBatchReport> parts = tiny.LoopOf(rule).Step(tiny.Batch(8), new LearningRates(0.1, 0.01), learns: false);

        parts.Should().HaveCount(2).And.OnlyContain(part => ReferenceEquals(part.Objective, null));
        parts.Should().OnlyContain(part => part.Weights.sum().item<double>() == 8, "each of 2 exits has 2 of 4 samples, and those weigh 2");
        tiny.WeightingState().Should().Equal(weighting);
    }

    /// <summary>Meta-Weight-Net's way: the whole batch is trained on, the meta data come from elsewhere.</summary>
    [Fact]
    public void A_batch_that_stays_whole_learns_from_held_out_meta_data_of_any_number()
    {
        using DisposeScope scope = NewDisposeScope();
        using var tiny = new TinyBilevel(
            meta: new MetaOptions { Source = MetaSource.HeldOut, Wpn = new WpnOptions { Hidden = 5, Output = WpnOutput.Sigmoid } });
        double[] weighting = tiny.WeightingState();

        HalfBatchReport report = tiny.Loop.Step(tiny.Batch(7), new LearningRates(0.1, 0.01), learns: true, heldOut: tiny.Batch(4)).Should()
            .ContainSingle().Which;

        report.Weights.shape.Should().Equal(7, 2);
        report.Objective!.item<double>().Should().BePositive();
        tiny.WeightingState().Should().NotEqual(weighting);
        tiny.Loop.Step(tiny.Batch(7), new LearningRates(0.1, 0.01), learns: false)[0].Objective.Should().BeNull();
    }

    private static void ForAll(Func<MetaOptions, ISampleWeighting> create, Action<MetaOptions, Tensor[], Tensor> law)
    {
        var cases = from samples in Gen.Choose(1, 12)
                    from exits in Gen.Choose(2, 5)
                    from q in Gen.Choose(1, 40)
                    from seed in Gen.Choose(0, int.MaxValue)
                    select (samples, exits, q, seed);
        Prop.ForAll(Arb.From(cases), c =>
        {
            using DisposeScope scope = NewDisposeScope();
            using var random = new Generator((ulong)c.seed);
            var options = new MetaOptions { Q = c.q / 20.0 };
            Tensor[] logits = [.. Enumerable.Range(0, c.exits).Select(_ => randn([c.samples, Classes], float64, generator: random))];
            ISampleWeighting weighting = create(options);
            law(options, logits, weighting.Weights(weighting.Features(new FixedForward(logits, zeros(c.samples, c.exits)))));
        }).Hold();
    }
}

using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Tests.Meta.Weighting;

public sealed class LearnedWeightingTests
{
    /// <summary>N samples, K exits, the options of the weighting, and a seed.</summary>
    public sealed record Case(int Samples, int Exits, MetaOptions Options, int Seed)
    {
        /// <summary>The weighting, and the losses [N, K] and logits K x [N, 3] that it reads.</summary>
        public (LearnedWeighting Weighting, FixedForward Forward) Build()
        {
            using var random = new Generator((ulong)Seed);
            LearnedWeighting weighting = Options.Wpn.Output == WpnOutput.Sigmoid
                ? new MetaWeightNetWeighting(Options, random, float64, CPU)
                : new L2wDenWeighting(Options, Exits, random, float64, CPU);
            Tensor[] logits = [.. Enumerable.Range(0, Exits).Select(_ => randn([Samples, 3], float64, generator: random).requires_grad_())];
            Tensor losses = rand([Samples, Exits], float64, generator: random).mul(Held(5)).requires_grad_();
            return (weighting, new FixedForward(logits, losses));
        }
    }

    private static readonly Gen<Case> Cases =
        from samples in Gen.Choose(1, 9)
        from exits in Gen.Choose(1, 5)
        from epsilon in Gen.Choose(0, 20)
        from centring in Gen.Elements(Enum.GetValues<Centring>())
        from features in Gen.Elements(Enum.GetValues<WeightFeatures>())
        from seed in Gen.Choose(0, int.MaxValue)
        let options = new MetaOptions
        {
            Epsilon = epsilon / 10.0,
            Centring = centring,
            Features = features,
            Wpn = new WpnOptions { Hidden = 4 },
        }
        select new Case(samples, exits, options, seed);

    [Fact]
    public void Weights_have_mean_1_over_what_the_centring_says_and_stay_within_2_epsilon_of_it() => ForAll((c, weighting, forward) =>
    {
        Tensor weights = weighting.Weights(weighting.Features(forward)); // [N, K]
        Tensor means = c.Options.Centring switch
        {
            Centring.Col => weights.mean([1]), // [N]
            Centring.Row => weights.mean([0]), // [K]
            _ => weights.mean([0, 1]), // []
        };

        weights.shape.Should().Equal(c.Samples, c.Exits);
        means.sub(Held(1)).abs().max().item<double>().Should().BeLessThan(1e-14);
        weights.sub(Held(1)).abs().max().item<double>().Should().BeLessThanOrEqualTo(2 * c.Options.Epsilon);
    });

    [Fact]
    public void Epsilon_of_0_makes_every_weight_1() => ForAll((c, weighting, forward) =>
    {
        using LearnedWeighting without = (c with { Options = c.Options with { Epsilon = 0 } }).Build().Weighting;

        without.Weights(without.Features(forward)).data<double>().ToArray().Should().OnlyContain(weight => weight == 1);
    });

    [Fact]
    public void Features_are_losses_and_confidences_without_history() => ForAll((c, weighting, forward) =>
    {
        Tensor confidences = Confidence.PerSample(forward.Logits).detach();
        Tensor expected = c.Options.Features switch
        {
            WeightFeatures.Loss => forward.CrossEntropies.detach(),
            WeightFeatures.Confidence => confidences,
            _ => cat([forward.CrossEntropies.detach(), confidences], 1),
        };

        Tensor features = weighting.Features(forward);
        features.requires_grad.Should().BeFalse();
        features.shape.Should().Equal(c.Samples, c.Options.Features == WeightFeatures.Both ? 2 * c.Exits : c.Exits);
        features.eq(expected).all().item<bool>().Should().BeTrue();
    });

    /// <summary>
    /// Meta-Weight-Net sees one exit: others do not change its weights, whose mean is 1; and one sample: weights are in the ratio of its
    /// outputs.
    /// </summary>
    [Fact]
    public void A_sigmoid_network_weighs_each_exit_by_its_own_features_alone() => ForAll((c, _, forward) =>
    {
        var options = c.Options with { Wpn = new WpnOptions { Hidden = 4, Output = WpnOutput.Sigmoid } };
        using LearnedWeighting weighting = (c with { Options = options }).Build().Weighting;
        WeightPredictionNetwork network = weighting.Network;
        Tensor weights = weighting.Weights(weighting.Features(forward)); // [N, K]

        weights.shape.Should().Equal(c.Samples, c.Exits);
        for (int k = 0; k < c.Exits; k++)
        {
            Tensor features = weighting.Features(new FixedForward([forward.Logits[k]], forward.CrossEntropies.narrow(1, k, 1)));
            Tensor own = weights.select(1, k), output = network.Forward(features).select(1, 0); // [N]
            weighting.Weights(features).select(1, 0).sub(own).abs().max().item<double>().Should().BeLessThan(1e-14);
            own.mul(output.mean()).sub(output).abs().max().item<double>().Should().BeLessThan(1e-14);
            own.mean([0]).item<double>().Should().BeApproximately(1, 1e-14);
        }
    });

    [Fact]
    public void Weights_have_a_history_that_leads_to_the_network_only()
    {
        using DisposeScope scope = NewDisposeScope();
        (LearnedWeighting weighting, FixedForward forward) = new Case(4, 3, new MetaOptions { Features = WeightFeatures.Both }, 1).Build();
        weighting.Weights(weighting.Features(forward)).pow(Held(2)).sum().backward();

        weighting.Network.Parameters.Should().OnlyContain(parameter => parameter.grad!.abs().sum().item<double>() > 0);
        forward.Logits.Append(forward.CrossEntropies).Should().OnlyContain(input => ReferenceEquals(input.grad, null));
    }

    private static void ForAll(Action<Case, LearnedWeighting, FixedForward> law) => Prop.ForAll(Arb.From(Cases), c =>
    {
        using DisposeScope scope = NewDisposeScope();
        (LearnedWeighting weighting, FixedForward forward) = c.Build();
        using LearnedWeighting held = weighting;
        law(c, weighting, forward);
    }).Hold();
}

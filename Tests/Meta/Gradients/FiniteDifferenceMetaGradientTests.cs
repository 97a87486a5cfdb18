using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Tests.Meta.Gradients;

/// <summary>The approximate meta gradient on a smooth network, against the exact one.</summary>
public sealed class FiniteDifferenceMetaGradientTests
{
    private const int TrainSamples = 5;
    private const int MetaSamples = 7;

    [Theory]
    [MemberData(nameof(MetaGradientTests.Settings), MemberType = typeof(MetaGradientTests))]
    public void It_is_near_the_exact_one(MetaGradientTests.Setting setting)
    {
        using DisposeScope scope = NewDisposeScope();
        (Tensor exact, Tensor objective) = Compute(setting, MetaGradientMethod.Unrolled);
        (Tensor near, Tensor objectiveToo) = Compute(setting, MetaGradientMethod.FiniteDifference);

        GoldenFile.RelativeError(GoldenFile.Values(near), GoldenFile.Values(exact)).Should()
            .BeLessThan(1e-6).And.BePositive("it is an approximation");
        objectiveToo.item<double>().Should().BeApproximately(objective.item<double>(), 1e-13);
    }

    [Fact]
    public void It_changes_neither_network_nor_optimiser_and_the_pass_serves_the_real_update_after_it()
    {
        using DisposeScope scope = NewDisposeScope();
        using TinyBilevel tiny = Tiny(MetaGradientMethod.FiniteDifference, new TrainOptions());
        tiny.PlainLoop.Step(tiny.Batch(TrainSamples), new LearningRates(0.1, 0), learns: false); // creates the momentum buffers
        IForward forward = tiny.Method.Forward(tiny.Batch(TrainSamples));
        Tensor weights = tiny.Weights(TrainSamples);
        double[] gradient = Values(forward.Gradient(weights)), state = tiny.BackboneState();

        tiny.Method.WeightGradient(forward, weights, tiny.Batch(MetaSamples), 0.5);

        Values(forward.Gradient(weights)).Should().Equal(gradient);
        tiny.BackboneState().Should().Equal(state);
        tiny.Network.Parameters.Should().OnlyContain(parameter => ReferenceEquals(parameter.grad, null));
    }

    [Fact]
    public void A_step_that_leads_nowhere_has_a_gradient_of_zero()
    {
        using DisposeScope scope = NewDisposeScope();
        using TinyBilevel tiny = Tiny(MetaGradientMethod.FiniteDifference, new TrainOptions());
        IForward forward = tiny.Method.Forward(tiny.Batch(TrainSamples));

        MetaGradient gradient = tiny.Method.WeightGradient(forward, tiny.Weights(TrainSamples), tiny.Batch(MetaSamples), rate: 0);

        GoldenFile.Values(gradient.GradWeights).Should().OnlyContain(slope => slope == 0);
    }

    private static (Tensor ByWeights, Tensor Objective) Compute(MetaGradientTests.Setting setting, MetaGradientMethod method)
    {
        using TinyBilevel tiny = Tiny(method, setting.Train(), setting.Meta());
        if (setting.Buffers)
        {
            tiny.PlainLoop.Step(tiny.Batch(TrainSamples), new LearningRates(0.1, 0), learns: false);
        }

        IForward forward = tiny.Method.Forward(tiny.Batch(TrainSamples));
        MetaGradient gradient = tiny.Method.WeightGradient(forward, tiny.Weights(TrainSamples), tiny.Batch(MetaSamples), setting.Rate);
        return (gradient.GradWeights.clone().MoveToOuterDisposeScope(), gradient.Objective.clone().MoveToOuterDisposeScope());
    }

    private static TinyBilevel Tiny(MetaGradientMethod method, TrainOptions train, MetaOptions? meta = null)
        => new(train, (meta ?? new MetaOptions()) with { Gradient = method, Wpn = new WpnOptions { Hidden = 5 } });

    private static double[] Values(IEnumerable<Tensor?> tensors) => [.. tensors.OfType<Tensor>().SelectMany(GoldenFile.Values)];
}

using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Tests.Meta.Gradients;

/// <summary>How the gradients of the exits become one direction.</summary>
public sealed class GradientCombinationTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    [Theory]
    [InlineData(MetaGradientMethod.Forward)]
    [InlineData(MetaGradientMethod.Unrolled)]
    public void The_gradients_of_the_exits_add_up_to_their_sum(MetaGradientMethod method)
    {
        using TinyBilevel tiny = Tiny(method);
        IForward forward = tiny.Method.Forward(tiny.Batch(5));
        Tensor cotangent = tiny.Weights(5).div(Held(5));

        IReadOnlyList<Tensor?>[] ofExits = [.. Enumerable.Range(0, tiny.Network.Exits).Select(k => forward.ExitGradient(cotangent, k))];
        IReadOnlyList<Tensor?> sum = new GradientSum().Combine(forward, cotangent);

        for (int p = 0; p < sum.Count; p++)
        {
            Tensor?[] parts = [.. ofExits.Select(gradient => gradient[p])];
            Tensor expected = parts.OfType<Tensor>().Aggregate(zeros_like(tiny.Network.Parameters[p]), (a, b) => a.add(b, One));
            (sum[p] ?? zeros_like(expected)).sub(expected).abs().max().item<double>().Should().BeLessThan(1e-14);
        }

        ofExits[0].OfType<Tensor>().Sum(part => part.abs().sum().item<double>()).Should().BePositive();
    }

    [Fact]
    public void A_loop_averages_each_gradient_once_by_the_samples_of_its_half_batch()
    {
        using TinyBilevel tiny = Tiny(MetaGradientMethod.Forward);
        var averaged = new List<(int Tensors, long Samples)>();
        var loop = new BilevelLoop(tiny.Method, tiny.Weighting, tiny.Optimiser, new GradientSum(), (gradients, samples) =>
        {
            averaged.Add((gradients.Count, samples));
            return gradients;
        });

        loop.Step(tiny.Batch(7), new LearningRates(0.1, 0.1), learns: true);

        (int theta, int ofWeighting) = (tiny.Network.Parameters.Count, tiny.Weighting.Parameters.Count);
        averaged.Should().Equal((ofWeighting, 4), (theta, 4), (ofWeighting, 3), (theta, 3));
    }

    [Fact]
    public void A_loop_has_a_combination_average_what_must_be_equal_in_all_processes()
    {
        using TinyBilevel tiny = Tiny(MetaGradientMethod.Forward);
        var averaged = new List<int>();
        using var gradNorm = new GradNorm(new GradNormOptions());
        var loop = new BilevelLoop(tiny.Method, new UniformWeighting(), tiny.Optimiser, gradNorm, (numbers, samples) =>
        {
            averaged.Add(numbers.Count);
            return numbers;
        });

        loop.Step(tiny.Batch(6), new LearningRates(0.1, 0.1), learns: false);

        averaged.Should().Equal([1, 1, tiny.Network.Parameters.Count], "losses, norms, then the direction");
    }

    [Fact]
    public void A_combination_that_is_not_linear_goes_with_plain_training_and_not_with_learned_weights()
    {
        using TinyBilevel tiny = Tiny(MetaGradientMethod.Forward);
        double[] before = tiny.BackboneState();

        new BilevelLoop(tiny.Method, new UniformWeighting(), tiny.Optimiser, new Projected())
            .Step(tiny.Batch(6), new LearningRates(0.1, 0.1), learns: false);

        tiny.BackboneState().Should().NotEqual(before);
        tiny.Invoking(of => new BilevelLoop(of.Method, of.Weighting, of.Optimiser, new Projected()))
            .Should().Throw<ArgumentException>().WithMessage("*not linear*");
    }

    public void Dispose() => _scope.Dispose();

    private static TinyBilevel Tiny(MetaGradientMethod method) => new(
        new TrainOptions(), new MetaOptions { Gradient = method, Wpn = new WpnOptions { Hidden = 5 } }, build: random
            => new TinyLinearisable(random));

    /// <summary>Each exit's gradient without its part against the first exit's, tensor by tensor.</summary>
    private sealed class Projected : IGradientCombination
    {
        public bool IsLinear => false;

        public IReadOnlyList<Tensor?> Combine(IForward forward, Tensor cotangent, Averaging? averaging = null)
        {
            IReadOnlyList<Tensor?> first = forward.ExitGradient(cotangent, 0), second = forward.ExitGradient(cotangent, 1);
            return
            [
                .. first.Zip(
                    second,
                    (a, b)
                        => a is null || b is null
                            ? a ?? b
                            : a.add(b, One) - (a * ((a * b).sum().clamp(max: Held(0)) / (a * a).sum().clamp(min: Held(1e-30))))),
            ];
        }
    }
}

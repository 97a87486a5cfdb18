using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Meta.Optimisers;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Tests.Meta.Optimisers;

/// <summary>Against SGD written out for single numbers.</summary>
public sealed class SgdTests : IDisposable
{
    private const double Rate = 0.1;
    private const double Exact = 1e-15;

    private readonly DisposeScope _scope = NewDisposeScope();

    public static TheoryData<double, double, bool, double> Forms
    {
        get
        {
            var data = new TheoryData<double, double, bool, double>();
            foreach (double weightDecay in new[] { 0, 0.05 })
            {
                data.Add(0, 0, false, weightDecay);
                data.Add(0.9, 0, false, weightDecay);
                data.Add(0.9, 0.4, false, weightDecay);
                data.Add(0.9, 0, true, weightDecay);
            }

            return data;
        }
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(0.9, 0.1)]
    public void Nesterov_without_momentum_or_with_dampening_is_refused(double momentum, double dampening) => FluentActions
        .Invoking(() => new Sgd([], new TrainOptions { Nesterov = true, Momentum = momentum, Dampening = dampening }))
        .Should().Throw<ArgumentException>().WithMessage("Nesterov needs momentum > 0 and dampening 0*");

    [Theory]
    [MemberData(nameof(Forms))]
    public void Steps_are_those_of_plain_arithmetic_and_the_lookahead_is_the_next_one(
        double momentum, double dampening, bool nesterov, double weightDecay)
    {
        var options = new TrainOptions { Momentum = momentum, Dampening = dampening, Nesterov = nesterov, WeightDecay = weightDecay };
        Parameter[] parameters = [new(tensor([0.5, -0.7])), new(tensor([1.5]))];
        using var sgd = new Sgd(Named(parameters), options);
        double[] theta = [0.5, -0.7, 1.5];
        double?[] buffers = new double?[3];

        for (int step = 0; step < 6; step++)
        {
            double[] gradient = [Math.Sin(step), Math.Cos(step), Math.Sin(3 * step) + 0.1];
            bool reached = step is not (0 or 3); // The second parameter has no gradient at first, and once between.
            Tensor?[] gradients = [tensor(gradient[..2]), reached ? tensor(gradient[2..]) : null];
            (double[] before, double[] buffersBefore) = (Values(parameters), Values(sgd.Buffers));
            for (int i = 0; i < (reached ? 3 : 2); i++)
            {
                theta[i] -= Rate * PlainStep(options, theta[i], gradient[i], ref buffers[i]);
            }

            Close(Values(sgd.Lookahead(gradients, Rate)), theta);
            Values(parameters).Should().Equal(before, "the lookahead changes no parameter");
            Values(sgd.Buffers).Should().Equal(buffersBefore, "nor a buffer");

            sgd.Apply(gradients, Rate);
            Close(Values(parameters), theta);
            Close(Values(sgd.Buffers), [.. buffers.OfType<double>()]);
        }

        sgd.Buffers.Select(buffer => buffer is null).Should().Equal(momentum == 0, momentum == 0);
    }

    [Fact]
    public void The_lookahead_is_differentiable_by_the_gradients_and_not_by_the_parameters()
    {
        Parameter[] parameters = [new(tensor([0.5, -0.7]))];
        using var sgd = new Sgd(Named(parameters), new TrainOptions());
        Tensor gradient = tensor([1.0, 2.0]).requires_grad_();

        sgd.Lookahead([gradient], Rate)[0].sum().backward();

        gradient.grad!.data<double>().ToArray().Should().Equal(-Rate, -Rate);
        parameters[0].grad.Should().BeNull();
    }

    [Fact]
    public void A_restored_optimiser_goes_on_as_the_one_that_was_saved()
    {
        Parameter[] parameters = [new(tensor([0.5, -0.7])), new(tensor([1.5]))];
        Tensor[] gradients = [tensor([1.0, 2.0])];
        using var sgd = new Sgd(Named(parameters), new TrainOptions());
        sgd.Apply([gradients[0], null], Rate);

        Parameter[] copies = [.. parameters.Select(parameter => new Parameter(parameter.detach().clone()))];
        using var restored = new Sgd(Named(copies), new TrainOptions());
        restored.LoadState(sgd.State);
        sgd.Apply([gradients[0], null], Rate);
        restored.Apply([gradients[0], null], Rate);

        Values(copies).Should().Equal(Values(parameters));
        restored.Buffers[1].Should().BeNull();
        sgd.State.AllTensors.Select(entry => entry.Name).Should().Equal("momentum_buffer.p0");
        restored.Invoking(sgd => sgd.LoadState(new StateTree())).Should().Throw<InvalidDataException>()
            .WithMessage("it has no 'momentum_buffer'");
    }

    public void Dispose() => _scope.Dispose();

    // PyTorch's rule for one number; returns what the rate multiplies.
    private static double PlainStep(TrainOptions options, double theta, double gradient, ref double? buffer)
    {
        double decayed = gradient + (options.WeightDecay * theta);
        if (options.Momentum == 0)
        {
            return decayed;
        }

        buffer = buffer is { } old ? (options.Momentum * old) + ((1 - options.Dampening) * decayed) : decayed;
        return options.Nesterov ? decayed + (options.Momentum * buffer.Value) : buffer.Value;
    }

    private static IEnumerable<(string, Parameter)> Named(Parameter[] parameters)
        => parameters.Select((parameter, p) => ($"p{p}", parameter));

    private static double[] Values(IEnumerable<Tensor?> tensors)
        => [.. tensors.OfType<Tensor>().SelectMany(tensor => tensor.data<double>().ToArray())];

    private static void Close(double[] actual, double[] expected) => GoldenFile.RelativeError(actual, expected).Should().BeLessThan(Exact);
}

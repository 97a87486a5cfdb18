using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Meta.Optimisers;
using Adam = Imta.MetaWeight.Meta.Optimisers.Adam;
using Parameter = TorchSharp.Modules.Parameter;

namespace Imta.MetaWeight.Tests.Meta.Optimisers;

/// <summary>Against Adam written out for single numbers.</summary>
public sealed class AdamTests : IDisposable
{
    private const double Rate = 0.01;

    private readonly DisposeScope _scope = NewDisposeScope();

    [Theory]
    [InlineData(0)]
    [InlineData(0.05)]
    public void Steps_are_those_of_plain_arithmetic(double weightDecay)
    {
        Parameter[] parameters = [new(tensor([0.5, -0.7])), new(tensor([1.5]))];
        using var adam = new Adam(Named(parameters), weightDecay);
        double[] theta = [0.5, -0.7, 1.5];
        (double[] means, double[] squares) = (new double[3], new double[3]);

        for (int step = 1; step <= 6; step++)
        {
            double[] gradient = [Math.Sin(step), 1e-4 * Math.Cos(step), Math.Sin(3 * step) + 0.1];
            adam.Apply([tensor(gradient[..2]), tensor(gradient[2..])], Rate);
            for (int i = 0; i < 3; i++)
            {
                double g = gradient[i] + (weightDecay * theta[i]);
                means[i] = (0.9 * means[i]) + (0.1 * g);
                squares[i] = (0.999 * squares[i]) + (0.001 * g * g);
                double mean = means[i] / (1 - Math.Pow(0.9, step));
                double square = squares[i] / (1 - Math.Pow(0.999, step));
                theta[i] -= Rate * mean / (Math.Sqrt(square) + 1e-8);
            }

            Close(Values(parameters), theta);
            Close(Values(adam.Means), means);
            Close(Values(adam.Squares), squares);
            adam.Steps.Should().Be(step);
        }
    }

    [Fact]
    public void A_restored_optimiser_goes_on_as_the_one_that_was_saved()
    {
        Parameter[] parameters = [new(tensor([0.5, -0.7]))];
        Tensor gradient = tensor([1.0, -2.0]);
        using var adam = new Adam(Named(parameters), 0.1);
        adam.Apply([gradient], Rate);

        Parameter[] copies = [new(parameters[0].detach().clone())];
        using var restored = new Adam(Named(copies), 0.1);
        restored.LoadState(adam.State);
        adam.Apply([gradient], Rate);
        restored.Apply([gradient], Rate);

        Values(copies).Should().Equal(Values(parameters));
        restored.Steps.Should().Be(2);
        var none = new StateTree
        {
            Numbers = { ["step"] = 1 },
            Groups = { ["exp_avg"] = new StateTree(), ["exp_avg_sq"] = new StateTree() },
        };
        restored.Invoking(adam => adam.LoadState(none)).Should().Throw<InvalidDataException>().WithMessage("it has no 'p0'");
        restored.Steps.Should().Be(2);
    }

    public void Dispose() => _scope.Dispose();

    private static IEnumerable<(string, Parameter)> Named(Parameter[] parameters)
        => parameters.Select((parameter, p) => ($"p{p}", parameter));

    private static double[] Values(IEnumerable<Tensor> tensors) => [.. tensors.SelectMany(tensor => tensor.data<double>().ToArray())];

    private static void Close(double[] actual, double[] expected) => GoldenFile.RelativeError(actual, expected).Should().BeLessThan(1e-14);
}

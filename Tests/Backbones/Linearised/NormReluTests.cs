using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Backbones.Layers;
using Imta.MetaWeight.Backbones.Linearised;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Verification;

namespace Imta.MetaWeight.Tests.Backbones.Linearised;

/// <summary>Batch norm and ReLU by the library's kernels and by libtorch's operators, which take any layout, type and device.</summary>
public sealed class NormReluTests : IDisposable
{
    private const double Momentum = 0.1, Epsilon = 1e-5;

    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly Generator _random = new(41);

    /// <summary>Shapes of z, and whether its channels lie beside each other, as the kernels want them.</summary>
    public static TheoryData<long[], bool> Shapes => new()
    {
        { [3, 5, 4, 6], true },
        { [3, 5, 4, 6], false },
        { [7, 16, 1, 3], true },
        { [2, 4, 5, 5], false },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Either_way_value_cotangent_and_tangent_are_the_same(long[] shape, bool channelsLast)
    {
        long channels = shape[1];
        (Tensor z, Tensor g, Tensor change, Tensor more) = (Random(shape), Random(shape), Random(shape), Random(shape));
        (Tensor weight, Tensor bias, Tensor weightChange, Tensor biasChange) = (Random(channels), Random(channels), Random(channels),
            Random(channels));
        Tensor Laid(Tensor tensor) => channelsLast ? TensorLayout.ChannelsLast(tensor) : tensor;
        (Tensor y, Tensor y2) = (Laid(zeros_like(z)), zeros_like(z));
        new[] { Laid(z), y }.Select(tensor => NormReluKernels.Supports(tensor)).Should()
            .Equal([channelsLast, channelsLast], "the kernels take one layout");
        var (one, other) = ((Mean: zeros([channels], float64), Variance: ones([channels], float64)),
            (Mean: zeros([channels], float64), Variance: ones([channels], float64)));

        Tensor saved = NormRelu.Forward(Laid(z), weight, bias, one, Momentum, Epsilon, y);
        Tensor saved2 = NormReluOperators.Forward(z, weight, bias, other, Momentum, Epsilon, y2);
        Same(y, y2);
        Same(saved, saved2);
        Same(one.Mean, other.Mean);
        Same(one.Variance, other.Variance);
        Values(NormRelu.Recompute(Laid(z), saved)).Should().Equal(Values(y));
        Values(NormReluOperators.Recompute(z, saved2)).Should().Equal(Values(y2));

        var (byInput, byWeight, byBias) = NormRelu.Cotangent(Laid(g), Laid(z), weight, saved, Epsilon);
        var (byInput2, byWeight2, byBias2) = NormReluOperators.Cotangent(g, z, weight, saved2, Epsilon);
        Same(byInput, byInput2);
        Same(byWeight, byWeight2);
        Same(byBias, byBias2);

        NormRelu.Tangent(Laid(change), Laid(more), Laid(z), weight, weightChange, biasChange, saved, Epsilon, y);
        NormReluOperators.Tangent(change, more, z, weight, weightChange, biasChange, saved2, Epsilon, y2);
        Same(y, y2);
        NormRelu.Tangent(Laid(change), null, Laid(z), weight, null, null, saved, Epsilon, y);
        NormReluOperators.Tangent(change, null, z, weight, null, null, saved2, Epsilon, y2);
        Same(y, y2);
    }

    /// <summary>The operators alone: ⟨ẏ, g⟩ = ⟨ż, ∂/∂z⟩ + ⟨γ̇, ∂/∂γ⟩ + ⟨β̇, ∂/∂β⟩.</summary>
    [Theory]
    [MemberData(nameof(Shapes))]
    public void The_operators_are_adjoint(long[] shape, bool channelsLast)
    {
        Tensor z = channelsLast
            ? TensorLayout.ChannelsLast(Random(shape))
            : Random(shape), y = zeros_like(z), g = Random(shape), change = Random(shape);
        (Tensor weight, Tensor bias, Tensor weightChange, Tensor biasChange) = (Random(shape[1]), Random(shape[1]), Random(shape[1]),
            Random(shape[1]));
        Tensor saved = NormReluOperators.Forward(z, weight, bias, null, Momentum, Epsilon, y);

        var (byInput, byWeight, byBias) = NormReluOperators.Cotangent(g, z, weight, saved, Epsilon);
        NormReluOperators.Tangent(change, null, z, weight, weightChange, biasChange, saved, Epsilon, y);

        double ahead = Probe.InnerProduct([y], [g]);
        double back = Probe.InnerProduct([change, weightChange, biasChange], [byInput, byWeight, byBias]);
        ahead.Should().NotBe(0);
        back.Should().BeApproximately(ahead, 1e-14 * Math.Sqrt(Probe.InnerProduct([y], [y]) * Probe.InnerProduct([g], [g])));
    }

    public void Dispose()
    {
        _random.Dispose();
        _scope.Dispose();
    }

    private static void Same(Tensor actual, Tensor expected)
        => GoldenFile.RelativeError(Values(actual), Values(expected)).Should().BeLessThan(1e-13);

    private static double[] Values(Tensor tensor) => GoldenFile.Values(tensor.contiguous());

    private Tensor Random(params long[] shape) => randn(shape, float64, generator: _random);
}

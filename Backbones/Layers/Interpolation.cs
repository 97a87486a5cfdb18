using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Backbones.Linearised;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>Tangent and cotangent of <see cref="Operators.Interpolate"/>, which is linear itself.</summary>
internal sealed class Interpolation(long[] shape, long[] size) : LinearMap
{
    /// <summary>The value: <c>[N, C, H, W]</c> at another height and width.</summary>
    public static Tensor Of(Tensor x, long[] size) => nn.functional.interpolate(x, size, mode: InterpolationMode.Bilinear, align_corners: true);

    public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? place)
        => inputs[0] is { } change ? Of(change, size) : null;

    public override IReadOnlyList<Tensor?> Cotangent(
        Tensor output, IReadOnlyList<bool> wanted, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient)
        => [Layout.ChannelsLast(MissingOperators.UpsampleBilinear2dBackward(output, shape))];
}

using Imta.MetaWeight.Backbones.Linearised;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>Tangent and cotangent of <see cref="Operators.Rescale"/>.</summary>
internal sealed class Scaling(double slope) : LinearMap
{
    public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? place) => inputs[0]?.mul(slope);

    public override IReadOnlyList<Tensor?> Cotangent(
        Tensor output, IReadOnlyList<bool> wanted, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient) => [output.mul(slope)];
}

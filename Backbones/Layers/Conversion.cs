using Imta.MetaWeight.Backbones.Linearised;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>Tangent and cotangent of <see cref="Operators.Convert"/>.</summary>
internal sealed class Conversion(ScalarType from, ScalarType to) : LinearMap
{
    public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? place) => inputs[0]?.to_type(to);

    public override IReadOnlyList<Tensor?> Cotangent(
        Tensor output, IReadOnlyList<bool> wanted, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient) => [output.to_type(from)];
}

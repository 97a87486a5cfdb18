using Imta.MetaWeight.Backbones.Linearised;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>Tangent and cotangent of a sum of two tensors of one shape.</summary>
internal sealed class Addition : LinearMap
{
    public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? place)
        => inputs[0] is { } a && inputs[1] is { } b ? a + b : inputs[0] ?? inputs[1];

    public override IReadOnlyList<Tensor?> Cotangent(
        Tensor output, IReadOnlyList<bool> wanted, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient)
        => [output, wanted[1] ? output.clone() : null];
}

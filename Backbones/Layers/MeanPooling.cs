using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Backbones.Linearised;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>Tangent and cotangent of <see cref="Operators.MeanPool"/>, which is linear itself.</summary>
internal sealed class MeanPooling : LinearMap
{
    private readonly Tensor _x;
    private readonly long _kernel;

    public MeanPooling(Tensor x, long kernel) => (_x, _kernel) = (Keep(x), kernel);

    public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? place)
        => inputs[0] is { } change ? nn.functional.avg_pool2d(change, _kernel).flatten(1) : null;

    public override IReadOnlyList<Tensor?> Cotangent(
        Tensor output, IReadOnlyList<bool> wanted, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient)
    {
        long[] shape = _x.shape;
        Tensor g = output.reshape(shape[0], shape[1], shape[2] / _kernel, shape[3] / _kernel);
        return [MissingOperators.AvgPool2dBackward(g, _x, _kernel)];
    }
}

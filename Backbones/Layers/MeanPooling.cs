using Imta.MetaWeight.Backbones.Linearised;
using Imta.MetaWeight.Native;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>Tangent and cotangent of <see cref="Operators.MeanPool"/>, which is linear itself.</summary>
internal sealed class MeanPooling : LinearMap
{
    private static readonly Operator Backward = new("aten::avg_pool2d_backward");

    private readonly Tensor _x;
    private readonly long _kernel;

    public MeanPooling(Tensor x, long kernel) => (_x, _kernel) = (Keep(x), kernel);

    public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? place)
        => inputs[0] is { } change ? nn.functional.avg_pool2d(change, _kernel).flatten(1) : null;

    public override IReadOnlyList<Tensor?> Cotangent(Tensor output, IReadOnlyList<bool> wanted, ParameterCotangents gradient)
    {
        long[] shape = _x.shape, square = [_kernel, _kernel];
        Tensor g = output.reshape(shape[0], shape[1], shape[2] / _kernel, shape[3] / _kernel);
        return [Tensor.UnsafeCreateTensor(Backward.Invoke(
            Argument.Tensor(g.Handle, g), Argument.Tensor(_x.Handle, _x), square, square, new long[] { 0, 0 }, false, true, Argument.None))];
    }
}

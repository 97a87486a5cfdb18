using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Backbones.Linearised;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>Maximum pooling on a tape: around its point it picks the same pixels.</summary>
internal sealed class MaxPooling : LinearMap
{
    private readonly Tensor _x;
    private readonly Tensor _picked; // [N, C, H′, W′]: index into H · W
    private readonly long[][] _window; // kernel, stride, padding

    private MaxPooling(Tensor x, Tensor picked, long[][] window) => (_x, _picked, _window) = (Keep(x), Keep(picked), window);

    /// <inheritdoc cref="Operators.MaxPool"/>
    public static Tensor Forward(Tensor x, long kernel, long stride, long padding, Tape tape)
    {
        long[][] window = [[kernel, kernel], [stride, stride], [padding, padding]];
        (Tensor y, Tensor picked) = nn.functional.max_pool2d_with_indices(x, window[0], window[1], window[2]);
        tape.Add(new MaxPooling(x, picked, window), y, x);
        return y;
    }

    public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? place)
        => inputs[0]?.flatten(2).gather(2, _picked.flatten(2)).reshape(_picked.shape);

    public override IReadOnlyList<Tensor?> Cotangent(
        Tensor output, IReadOnlyList<bool> wanted, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient)
        => [MissingOperators.MaxPool2dWithIndicesBackward(output, _x, _window[0], _window[1], _window[2], _picked)];
}

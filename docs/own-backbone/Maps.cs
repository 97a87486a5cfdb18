using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Backbones.Linearised;
using TorchSharp.Modules;
using static Imta.MetaWeight.Backbones.Kernels.HeldScalars;
using static TorchSharp.torch;

/// <summary>z = x ∗ W, so ż = ẋ ∗ W + x ∗ Ẇ.</summary>
internal sealed class ConvolutionMap : LinearMap
{
    private static readonly long[] Strides = [2, 2], Padding = [1, 1];

    private readonly Parameter _kernel;
    private readonly Tensor _x, _w;

    public ConvolutionMap(Tensor x, Parameter kernel, Pass pass) => (_kernel, _x, _w) = (kernel, Keep(x), Keep(pass[kernel]));

    public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? destination)
        => Parts.Sum(inputs[0] is { } x ? Convolve(x, _w) : null, direction[_kernel] is { } w ? Convolve(_x, w) : null);

    public override IReadOnlyList<Tensor?> Cotangent(
        Tensor output, IReadOnlyList<bool> needed, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient)
    {
        (Tensor? x, Tensor w, _) = MissingOperators.ConvolutionBackward(
            output, _x, _w, stride: Strides, padding: Padding, byInput: needed[0], byBias: false);
        gradient.Add(_kernel, w);
        return [x];
    }

    private static Tensor Convolve(Tensor x, Tensor w) => nn.functional.conv2d(x, w, strides: Strides, padding: Padding);
}

/// <summary>y = relu(γ n + β) with n = (z − mean) / deviation, by the batch's statistics.</summary>
internal sealed class NormReluMap : LinearMap
{
    private static readonly long[] All = [0, 2, 3]; // but the channels

    private readonly Parameter _scale, _shift;
    private readonly Tensor _n, _perDeviation, _open, _gamma;

    public NormReluMap(Tensor z, Tensor y, Parameter scale, Parameter shift, Pass pass)
    {
        (_scale, _shift) = (scale, shift);
        Tensor centred = z - z.mean(All, keepdim: true);
        _perDeviation = Keep(centred.pow(Held(2)).mean(All, keepdim: true).add(Held(1e-5), One).pow(Held(-0.5)));
        _n = Keep(centred * _perDeviation);
        _open = Keep(y.gt(Held(0)).to_type(y.dtype));
        _gamma = Keep(PerChannel(pass[scale]));
    }

    public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? destination)
        => Parts.Sum(
            inputs[0] is { } z ? Normalised(z) * _gamma : null,
            direction[_scale] is { } scale ? _n * PerChannel(scale) : null,
            direction[_shift] is { } shift ? PerChannel(shift).expand(_n.shape) : null)?.mul(_open);

    public override IReadOnlyList<Tensor?> Cotangent(
        Tensor output, IReadOnlyList<bool> needed, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient)
    {
        Tensor g = output * _open;
        gradient.Add(_scale, (g * _n).sum(All));
        gradient.Add(_shift, g.sum(All));
        return [Normalised(g * _gamma)];
    }

    // ż to ṅ; the matrix is symmetric, so it also takes ∂/∂n to ∂/∂z.
    private Tensor Normalised(Tensor t) => (t - t.mean(All, keepdim: true) - (_n * (_n * t).mean(All, keepdim: true))) * _perDeviation;
    private static Tensor PerChannel(Tensor values) => values.view(1, -1, 1, 1);
}

/// <summary>z = mean(x) Wᵀ + b.</summary>
internal sealed class HeadMap : LinearMap
{
    private readonly Parameter _head, _bias;
    private readonly Tensor _means, _w;
    private readonly long[] _shape;

    public HeadMap(Tensor x, Parameter head, Parameter bias, Pass pass)
        => (_head, _bias, _means, _w, _shape) = (head, bias, Keep(x.mean([2, 3])), Keep(pass[head]), x.shape);

    public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? destination)
        => Parts.Sum(
            inputs[0]?.mean([2, 3]).matmul(_w.t()),
            direction[_head] is { } w ? _means.matmul(w.t()) : null,
            direction[_bias]?.expand(_shape[0], -1));

    public override IReadOnlyList<Tensor?> Cotangent(
        Tensor output, IReadOnlyList<bool> needed, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient)
    {
        gradient.Add(_head, output.t().matmul(_means));
        gradient.Add(_bias, output.sum([0]));
        Tensor byMeans = output.matmul(_w).div(Held(_shape[2] * _shape[3])); // [N, C']
        return [byMeans.view(_shape[0], -1, 1, 1).expand(_shape).clone()];
    }
}

internal static class Parts
{
    /// <summary>The sum of what there is; null: nothing.</summary>
    public static Tensor? Sum(params Tensor?[] parts)
        => parts.OfType<Tensor>().Aggregate<Tensor, Tensor?>(null, (sum, part) => sum is null ? part : sum.add(part, One));
}

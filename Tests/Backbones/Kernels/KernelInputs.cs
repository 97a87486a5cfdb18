namespace Imta.MetaWeight.Tests.Backbones.Kernels;

/// <summary>
/// Operands in float64 whose values <see cref="Type"/> can hold, drawn by chance. Where the argument of ReLU comes near 0, rounding
/// decides its side: g and the tangents that are compared are 0 there.
/// </summary>
internal sealed record KernelInputs
{
    public KernelInputs(long[] shape, ScalarType type)
    {
        using var random = new Generator(11);
        Type = type;
        Channels = shape[1];
        (Z, G, T1, T2) = (Draw(shape).mul(Held(2)).add(Held(0.5), One), Draw(shape), Draw(shape), Draw(shape));
        (Weight, Bias, DWeight, DBias) = (Draw([Channels]).abs().add(Held(0.5), One), Draw([Channels]), Draw([Channels]), Draw([Channels]));
        (Z, Weight, Bias) = (Rounded(Z), Rounded(Weight), Rounded(Bias));
        long[] rows = shape.Length == 2 ? [0] : [0, 2, 3];
        Tensor centred = Z - Z.mean(rows, keepdim: true);
        Tensor argument = centred / (centred * centred).mean(rows, keepdim: true).add(Held(KernelRun.Eps), One).sqrt();
        argument = (argument.transpose(1, -1) * Weight).add(Bias, One).transpose(1, -1);
        Clear = argument.abs().gt(Held(1e-4)).to(ScalarType.Float64);
        (G, T1, T2, DWeight, DBias) = (Rounded(G) * Clear, Rounded(T1), Rounded(T2), Rounded(DWeight), Rounded(DBias));

        Tensor Draw(long[] size) => randn(size, ScalarType.Float64, generator: random);
    }

    public ScalarType Type { get; }

    public long Channels { get; }

    public Tensor Z { get; init; }

    public Tensor G { get; init; }

    public Tensor T1 { get; init; }

    public Tensor T2 { get; init; }

    public Tensor Weight { get; init; }

    public Tensor Bias { get; init; }

    public Tensor DWeight { get; init; }

    public Tensor DBias { get; init; }

    public Tensor Clear { get; }

    /// <summary>What the errors of each result are measured by, if the result itself is not larger: the terms that cancel in it.</summary>
    public (string Name, double Magnitude)[] Magnitudes(KernelResults exact)
    {
        double scale = Largest(exact["invstd"] * Weight);
        double sum = Largest(G.abs().sum(Z.dim() == 2 ? [0] : [0, 2, 3]));
        double tangent = Largest(T1.add(T2, One)) * scale, gradient = Largest(G) * scale;
        return
        [
            ("y", 1), ("mean", 1), ("invstd", 0), ("runningMean", 0), ("runningVar", 0),
            ("dz", gradient), ("dWeight", sum), ("dBias", sum), ("dy", tangent),
        ];

        static double Largest(Tensor tensor) => tensor.abs().max().item<double>();
    }

    /// <summary>With weight and bias in another type.</summary>
    public KernelInputs As(ScalarType type) => this with { Weight = Weight.to(type), Bias = Bias.to(type) };

    private Tensor Rounded(Tensor tensor) => tensor.to(Type).to(ScalarType.Float64);
}

using System.Runtime.InteropServices;
using Imta.MetaWeight.Native;

namespace Imta.MetaWeight.Tests.Native;

/// <summary>
/// The kernels against libtorch's own batch normalisation in float64, on every vector path of this machine. The path and the number of
/// threads belong to the process, so that nothing else runs beside these tests.
/// </summary>
[Collection(NativeMemoryCollection.Name)]
public sealed class NormReluKernelsTests : NativeTest
{
    private const double Eps = 1e-5, Momentum = 0.1, Sentinel = 7.25;

    private static readonly long[][] Images = [[1, 1, 2], [2, 1, 1], [3, 5, 7], [2, 33, 31], [5, 29, 29]];

    public static TheoryData<int, ScalarType> Cases()
    {
        var cases = new TheoryData<int, ScalarType>();
        foreach (int channels in new[] { 1, 3, 6, 12, 17, 48, 128, 224 })
        {
            cases.Add(channels, ScalarType.Float64);
            cases.Add(channels, ScalarType.Float32);
        }

        return cases;
    }

    [SkippableTheory]
    [MemberData(nameof(Cases))]
    public void All_results_are_libtorchs(int channels, ScalarType type)
    {
        foreach (long[] image in Images)
        {
            using DisposeScope scope = NewDisposeScope();
            var inputs = new Inputs([image[0], channels, image[1], image[2]], type);
            Results exact = Reference(inputs, ScalarType.Float64);

            // float32: as near to the exact results as libtorch's own float32, or within a few roundings.
            Results peer = Reference(inputs, type);
            OnEachPath(path =>
            {
                foreach (bool strided in new[] { false, true })
                {
                    Results ours = Run(inputs, strided);
                    foreach ((string name, double magnitude) in inputs.Magnitudes(exact))
                    {
                        double bound = type == ScalarType.Float64 ? 1e-12 : Math.Max(2e-6, 2 * Error(peer[name], exact[name], magnitude));
                        Error(ours[name], exact[name], magnitude).Should().BeLessThan(bound, $"{name} on {path}, strided {strided}, {string.Join("x", image)}");
                    }
                }
            });
        }
    }

    [SkippableTheory]
    [InlineData(2, 6)]
    [InlineData(777, 12)]
    [InlineData(5000, 17)]
    [InlineData(130, 128)]
    [InlineData(3, 2500)]
    public void Rows_of_two_dimensions_are_those_of_images(int rows, int channels)
    {
        using DisposeScope scope = NewDisposeScope();
        var inputs = new Inputs([rows, channels], ScalarType.Float64);
        Results exact = Reference(inputs, ScalarType.Float64);
        OnEachPath(_ =>
        {
            foreach (bool strided in new[] { false, true })
            {
                Results ours = Run(inputs, strided);
                inputs.Magnitudes(exact).Should().AllSatisfy(entry => Error(ours[entry.Name], exact[entry.Name], entry.Magnitude).Should().BeLessThan(1e-12, entry.Name));
            }
        });
    }

    [SkippableTheory]
    [InlineData(1)]
    [InlineData(6)]
    [InlineData(17)]
    [InlineData(128)]
    public void The_tangent_is_the_limit_of_differences(int channels) => OnEachPath(_ =>
    {
        using DisposeScope scope = NewDisposeScope();
        const double h = 1e-6;
        var inputs = new Inputs([2, channels, 7, 5], ScalarType.Float64);
        Tensor difference = (Shifted(h) - Shifted(-h)) / (2 * h);

        Error(Run(inputs, false)["dy"], difference * inputs.Clear, 1).Should().BeLessThan(1e-7);

        Tensor Shifted(double step) => Run(inputs with
        {
            Z = inputs.Z + ((inputs.T1 + inputs.T2) * step),
            Weight = inputs.Weight + (inputs.DWeight * step),
            Bias = inputs.Bias + (inputs.DBias * step),
        }, false)["y"];
    });

    [SkippableTheory]
    [InlineData(3)]
    [InlineData(12)]
    [InlineData(48)]
    [InlineData(224)]
    public void Tangent_and_gradient_are_adjoint(int channels) => OnEachPath(_ =>
    {
        using DisposeScope scope = NewDisposeScope();
        var inputs = new Inputs([3, channels, 19, 11], ScalarType.Float64);
        Results ours = Run(inputs, true);

        double forward = Dot(ours["dy"], inputs.G);
        double backward = Dot(inputs.T1 + inputs.T2, ours["dz"]) + Dot(inputs.DWeight, ours["dWeight"]) + Dot(inputs.DBias, ours["dBias"]);

        double magnitude = Dot(ours["dy"].abs(), inputs.G.abs());
        (forward - backward).Should().BeApproximately(0, 1e-13 * magnitude);
    });

    [SkippableFact]
    public void What_is_left_out_of_a_tangent_is_zero() => OnEachPath(_ =>
    {
        using DisposeScope scope = NewDisposeScope();
        var inputs = new Inputs([2, 12, 9, 9], ScalarType.Float64);
        Tensor z = Rows(inputs.Z), t = Rows(inputs.T1), none = Rows(zeros_like(inputs.Z));
        Tensor saved = Forward(z, inputs), zero = zeros([12L], ScalarType.Float64), with = Rows(inputs.Z), without = Rows(inputs.Z);

        NormReluKernels.Tangent(t.Handle, none.Handle, z.Handle, zero.Handle, zero.Handle, saved.Handle, with.Handle);
        NormReluKernels.Tangent(t.Handle, 0, z.Handle, 0, 0, saved.Handle, without.Handle);

        Elements(without).Should().Equal(Elements(with));
    });

    [SkippableTheory]
    [InlineData(30001, 6, ScalarType.Float32)]
    [InlineData(15001, 12, ScalarType.Float64)]
    [InlineData(9001, 17, ScalarType.Float32)]
    [InlineData(1501, 128, ScalarType.Float32)]
    [InlineData(901, 224, ScalarType.Float64)]
    public void Threads_strides_and_the_width_of_vectors_change_no_bit(int rows, int channels, ScalarType type)
    {
        using DisposeScope scope = NewDisposeScope();
        var inputs = new Inputs([rows, channels], type);
        var results = new Dictionary<VectorPath, double[][]>();
        int before = Runtime.Threads;
        try
        {
            OnEachPath(path =>
            {
                foreach (int threads in new[] { 1, 2, 3 })
                {
                    Runtime.Threads = threads;
                    foreach (bool strided in new[] { false, true })
                    {
                        double[][] ours = Run(inputs, strided).Bits();
                        Same(results.TryAdd(path, ours) ? ours : results[path], ours, $"{threads} threads on {path}, strided {strided}");
                    }
                }
            });
        }
        finally
        {
            Runtime.Threads = before;
        }

        if (results.TryGetValue(VectorPath.Avx512, out double[][]? wide))
        {
            Same(results[VectorPath.Avx2], wide, "AVX2 and AVX-512");
        }

        static void Same(double[][] expected, double[][] actual, string what)
        {
            foreach ((double[] one, double[] other) in expected.Zip(actual))
            {
                one.AsSpan().SequenceEqual(other).Should().BeTrue(what);
            }
        }
    }

    [SkippableTheory]
    [InlineData(double.NaN)]
    [InlineData(double.PositiveInfinity)]
    public void What_is_no_number_spoils_its_channel_and_no_other(double value) => OnEachPath(_ =>
    {
        foreach (int channels in new[] { 5, 80 })
        {
            using DisposeScope scope = NewDisposeScope();
            var inputs = new Inputs([501, channels], ScalarType.Float32);
            inputs.Z.narrow(0, 333, 1).narrow(1, 2, 1).fill_(value);

            Results ours = Run(inputs, true);

            foreach (string name in new[] { "y", "dz", "dy", "invstd", "runningVar" })
            {
                double[] elements = Elements(ours[name]);
                for (int i = 0; i < elements.Length; i++)
                {
                    double.IsNaN(elements[i]).Should().Be(i % channels == 2, $"{name}[{i}] is {elements[i]}");
                }
            }
        }
    });

    [SkippableTheory]
    [InlineData(100, 0.01)]
    [InlineData(-10000, 1)]
    [InlineData(1000000, 30)]
    public void A_large_mean_costs_the_variance_no_digits(double mean, double deviation) => OnEachPath(path =>
    {
        using DisposeScope scope = NewDisposeScope();
        var inputs = new Inputs([4096, 12], ScalarType.Float32);
        inputs = inputs with { Z = ((inputs.Z * deviation) + mean).to(ScalarType.Float32).to(ScalarType.Float64) };
        Results exact = Reference(inputs, ScalarType.Float64), ours = Run(inputs, false);

        Error(ours["mean"], exact["mean"], 0).Should().BeLessThan(1e-7, $"{path}");
        ((ours["invstd"] - exact["invstd"]) / exact["invstd"]).abs().max().item<double>().Should().BeLessThan(1e-6, $"{path}");
    });

    [SkippableTheory]
    [InlineData(2, 6)]
    [InlineData(1001, 6)]
    [InlineData(1001, 17)]
    [InlineData(300, 224)]
    public void Rows_are_added_whatever_their_distance(int rows, int channels) => OnEachPath(_ =>
    {
        using DisposeScope scope = NewDisposeScope();
        var inputs = new Inputs([rows, channels], ScalarType.Float32);
        double[] expected = Elements(inputs.T1.to(ScalarType.Float32) + inputs.T2.to(ScalarType.Float32));
        for (int k = 0; k < 4; k++)
        {
            using var target = new Operand(inputs.T1, ScalarType.Float32, k % 2 == 1);
            using var source = new Operand(inputs.T2, ScalarType.Float32, k / 2 == 1);

            NormReluKernels.AddRows(target.Handle, source.Handle);

            Elements(target.Rows).Should().Equal(expected);
            target.CheckNeighbours();
            source.CheckNeighbours();
        }
    });

    [SkippableFact]
    public void An_operand_may_be_written_over_and_slices_of_one_buffer_are_apart() => OnEachPath(path =>
    {
        using DisposeScope scope = NewDisposeScope();
        var inputs = new Inputs([999, 6], ScalarType.Float32);
        Tensor buffer = zeros([999, 15L], ScalarType.Float32), z = buffer.narrow(1, 0, 6), y = buffer.narrow(1, 6, 6), dense = Rows(inputs.Z.to(ScalarType.Float32));
        _ = z.copy_(inputs.Z);
        inputs = inputs.As(ScalarType.Float32);
        Tensor expected = Rows(dense.clone());
        _ = Forward(dense, inputs, expected);

        _ = Forward(z, inputs, y);
        Elements(y).Should().Equal(Elements(expected));
        Elements(buffer.narrow(1, 12, 3)).Should().AllBeEquivalentTo(0.0);

        _ = Forward(z, inputs, z);
        Elements(z).Should().Equal(Elements(expected));

        Refused(() => Forward(z, inputs, buffer.narrow(1, 3, 6)), "*y overlaps an input in part*");
        Refused(() => Forward(z, inputs, buffer.as_strided([999, 6], [6, 1], 0)), "*y overlaps an input in part*");
    });

    [SkippableFact]
    public void Running_statistics_are_left_alone_where_there_are_none()
    {
        using DisposeScope scope = NewDisposeScope();
        var inputs = new Inputs([64, 3], ScalarType.Float64);
        Tensor z = Rows(inputs.Z), y = Rows(inputs.Z), saved = zeros([4, 3L], ScalarType.Float64), mean = zeros([3L], ScalarType.Float64);

        NormReluKernels.Forward(z.Handle, inputs.Weight.Handle, inputs.Bias.Handle, Eps, 0, 0, Momentum, y.Handle, saved.Handle);
        Error(y, Reference(inputs, ScalarType.Float64)["y"], 1).Should().BeLessThan(1e-12);
        Refused(
            () => NormReluKernels.Forward(z.Handle, inputs.Weight.Handle, inputs.Bias.Handle, Eps, mean.Handle, 0, Momentum, y.Handle, saved.Handle),
            "*running mean and variance come together*");
    }

    [SkippableFact]
    public void Autograd_notices_that_a_tensor_it_saved_was_written()
    {
        using DisposeScope scope = NewDisposeScope();
        var inputs = new Inputs([64, 3], ScalarType.Float64);
        Tensor leaf = ones_like(inputs.Z).requires_grad_(), y = Rows(inputs.Z), product = (leaf * y).sum();
        _ = Forward(Rows(inputs.Z), inputs, y);

        Refused(() => product.backward(), "*modified by an inplace operation*");
    }

    [SkippableFact]
    public void Which_tensors_are_rows()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor buffer = zeros([2L * 3 * 4 * 8], ScalarType.Float32);
        Tensor[] rows =
        [
            zeros([5, 3L]), zeros([2, 1, 3L, 4]), buffer.as_strided([2, 6, 3, 4], [96, 1, 32, 8]), buffer.as_strided([5, 3], [8, 1], 2),
            buffer.as_strided([1, 6, 1, 4], [1, 1, 1, 8]), buffer.as_strided([2, 6, 1, 1], [9, 1, 77, 77]), zeros([1, 7L, 1, 1], ScalarType.Float64),
        ];
        Tensor[] others =
        [
            zeros([2, 3L, 4, 5]), zeros([5L]), zeros([2, 3L, 4]), zeros([0, 3L]), zeros([5, 3L], ScalarType.Int64), zeros([5, 3L], ScalarType.Float16),
            zeros([3, 5L]).t(), zeros([1, 3L]).expand(5, 3), buffer.as_strided([2, 6, 3, 4], [90, 1, 32, 8]), buffer.as_strided([5, 3], [2, 1]),
        ];

        rows.Should().AllSatisfy(tensor => NormReluKernels.Supports(tensor.Handle).Should().BeTrue($"[{string.Join(", ", tensor.shape)}]"));
        others.Should().AllSatisfy(tensor => NormReluKernels.Supports(tensor.Handle).Should().BeFalse($"[{string.Join(", ", tensor.shape)}]"));
        NormReluKernels.Supports(0).Should().BeFalse();
    }

    [SkippableFact]
    public void Every_wrong_operand_is_named()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor good = ones([4, 3L]), vector = ones([3L]), saved = ones([4, 3L]), wide = ones([4, 3L], ScalarType.Float64), shape = ones([5, 3L]);
        Tensor columns = ones([3, 4L]).t(), whole = ones([4, 3L], ScalarType.Int64), one = ones([1, 3L]), gaps = ones([6L]).as_strided([3], [2]);
        (Action Call, string Message)[] wrong =
        [
            (() => Forward(columns), "*: z is not laid out as rows*shape [4, 3], strides [1, 4]*"),
            (() => Forward(whole), "*: z is neither float32 nor float64*"),
            (() => Forward(vector), "*: z is neither [N, C] nor [N, C, H, W]*"),
            (() => Forward(zeros([0, 3L])), "*: z has no elements*"),
            (() => Forward(one, y: one.clone()), "*one row has no statistics*"),
            (() => Forward(good, y: wide), "*: y has another element type*"),
            (() => Forward(good, y: shape), "*: y has the shape [5, 3], the others [4, 3]*"),
            (() => Forward(good, weight: ones([4L])), "*: weight must have the shape [3]*not [4]*"),
            (() => Forward(good, weight: gaps), "*: weight must have the shape [3] without gaps*"),
            (() => Forward(good, weight: ones([3L], ScalarType.Float64)), "*: weight has another element type*"),
            (() => Forward(good, saved: ones([3, 4L])), "*: saved must have the shape [4, 3]*"),
            (() => Forward(good, eps: -1), "*eps is -1*"),
            (() => Forward(good, eps: double.NaN), "*eps is*nan*"),
            (() => Forward(good, momentum: double.PositiveInfinity), "*the momentum is inf*"),
            (() => NormReluKernels.Forward(0, vector.Handle, vector.Handle, Eps, 0, 0, Momentum, good.Handle, saved.Handle), "*z is an undefined tensor*"),
            (() => NormReluKernels.Forward(good.Handle, 0, vector.Handle, Eps, 0, 0, Momentum, shape.narrow(0, 0, 4).Handle, saved.Handle), "*weight is an undefined tensor*"),
            (() => Backward(shape, good), "*: g has the shape [5, 3]*"),
            (() => Backward(columns, good), "*: g is not laid out as rows*"),
            (() => NormReluKernels.Backward(good.Handle, good.Handle, vector.Handle, 0, good.Handle, vector.Handle, vector.Handle), "*saved is an undefined tensor*"),
            (() => NormReluKernels.Backward(good.Handle, good.Handle, vector.Handle, saved.Handle, 0, vector.Handle, vector.Handle), "*dz is an undefined tensor*"),
            (() => NormReluKernels.Backward(good.Handle, good.Handle, vector.Handle, saved.Handle, good.Handle, vector.Handle, 0), "*dbias is an undefined tensor*"),
            (() => NormReluKernels.Tangent(0, 0, good.Handle, 0, 0, saved.Handle, good.Handle), "*t1 is an undefined tensor*"),
            (() => NormReluKernels.Tangent(good.Handle, wide.Handle, good.Handle, 0, 0, saved.Handle, good.Handle), "*: t2 has another element type*"),
            (() => NormReluKernels.Tangent(good.Handle, 0, good.Handle, gaps.Handle, 0, saved.Handle, good.Handle), "*: dweight must have the shape*"),
            (() => NormReluKernels.AddRows(good.Handle, shape.Handle), "*: source has the shape*"),
            (() => NormReluKernels.AddRows(0, good.Handle), "*target is an undefined tensor*"),
        ];

        foreach ((Action call, string message) in wrong)
        {
            Refused(call, message);
        }

        void Forward(Tensor z, Tensor? weight = null, Tensor? y = null, Tensor? saved = null, double eps = Eps, double momentum = Momentum)
            => NormReluKernels.Forward(
                z.Handle, (weight ?? vector).Handle, vector.Handle, eps, 0, 0, momentum, (y ?? good.clone()).Handle, (saved ?? ones([4, 3L])).Handle);

        void Backward(Tensor g, Tensor z)
            => NormReluKernels.Backward(g.Handle, z.Handle, vector.Handle, saved.Handle, good.Handle, vector.Handle, vector.Handle);
    }

    [SkippableFact]
    public void A_vector_path_that_this_machine_lacks_is_refused()
    {
        VectorPath before = NormReluKernels.Path;
        foreach (VectorPath path in new[] { NormReluKernels.WidestPath + 1, (VectorPath)(-1), (VectorPath)99 })
        {
            Refused(() => NormReluKernels.Path = path, "*has no vector path*");
        }

        NormReluKernels.Path.Should().Be(before);
    }

    private static void OnEachPath(Action<VectorPath> action)
    {
        VectorPath before = NormReluKernels.Path;
        try
        {
            for (VectorPath path = VectorPath.Portable; path <= NormReluKernels.WidestPath; path++)
            {
                NormReluKernels.Path = path;
                action(path);
            }
        }
        finally
        {
            NormReluKernels.Path = before;
        }
    }

    /// <summary>All kernels on the inputs; rows that stand in wider buffers must leave their neighbours alone.</summary>
    private static Results Run(Inputs inputs, bool strided)
    {
        ScalarType type = inputs.Type;
        Operand[] operands = [.. new[] { inputs.Z, inputs.G, inputs.T1, inputs.T2, inputs.Z, inputs.Z, inputs.Z }.Select(rows => new Operand(rows, type, strided))];
        (Operand z, Operand g, Operand t1, Operand t2, Operand y, Operand dz, Operand dy) = (operands[0], operands[1], operands[2], operands[3], operands[4], operands[5], operands[6]);
        Tensor weight = inputs.Weight.to(type), bias = inputs.Bias.to(type), dWeight = inputs.DWeight.to(type), dBias = inputs.DBias.to(type);
        Tensor runningMean = inputs.DBias.to(type, copy: true), runningVar = inputs.Weight.to(type, copy: true), gradWeight = zeros_like(weight), gradBias = zeros_like(weight);
        Tensor saved = zeros([4, inputs.Channels], type);

        NormReluKernels.Forward(z.Handle, weight.Handle, bias.Handle, Eps, runningMean.Handle, runningVar.Handle, Momentum, y.Handle, saved.Handle);
        NormReluKernels.Backward(g.Handle, z.Handle, weight.Handle, saved.Handle, dz.Handle, gradWeight.Handle, gradBias.Handle);
        NormReluKernels.Tangent(t1.Handle, t2.Handle, z.Handle, dWeight.Handle, dBias.Handle, saved.Handle, dy.Handle);

        foreach (Operand operand in operands)
        {
            operand.CheckNeighbours();
        }

        return new()
        {
            ["y"] = Double(y.Rows),
            ["mean"] = Double(saved.narrow(0, 0, 1).view(-1)),
            ["invstd"] = Double(saved.narrow(0, 1, 1).view(-1)),
            ["runningMean"] = Double(runningMean),
            ["runningVar"] = Double(runningVar),
            ["dz"] = Double(dz.Rows),
            ["dWeight"] = Double(gradWeight),
            ["dBias"] = Double(gradBias),
            ["dy"] = Double(dy.Rows) * inputs.Clear,
        };
    }

    /// <summary>The same from libtorch's operators; the tangent from the normalisation's own gradient, whose Jacobian is symmetric.</summary>
    private static Results Reference(Inputs inputs, ScalarType type)
    {
        Tensor z = inputs.Z.to(type), weight = inputs.Weight.to(type), bias = inputs.Bias.to(type);
        Tensor runningMean = inputs.DBias.to(type, copy: true), runningVar = inputs.Weight.to(type, copy: true);
        Tensor[] normed = Call("aten::native_batch_norm", Arg(z), Arg(weight), Arg(bias), Arg(runningMean), Arg(runningVar), true, Momentum, Eps);
        (Tensor mean, Tensor invstd) = (normed[1], normed[2]);
        Tensor mask = normed[0].gt(0).to(type), standardised = (z - Channelwise(mean)) * Channelwise(invstd);
        Tensor[] gradients = Gradients(inputs.G.to(type) * mask);
        Tensor tangent = Gradients(inputs.T1.to(type) + inputs.T2.to(type))[0] + (standardised * Channelwise(inputs.DWeight.to(type))) + Channelwise(inputs.DBias.to(type));
        return new()
        {
            ["y"] = Double(normed[0].relu()),
            ["mean"] = Double(mean),
            ["invstd"] = Double(invstd),
            ["runningMean"] = Double(runningMean),
            ["runningVar"] = Double(runningVar),
            ["dz"] = Double(gradients[0]),
            ["dWeight"] = Double(gradients[1]),
            ["dBias"] = Double(gradients[2]),
            ["dy"] = Double(tangent * mask) * inputs.Clear,
        };

        Tensor[] Gradients(Tensor g) => Call(
            "aten::native_batch_norm_backward", Arg(g), Arg(z), Arg(weight), Arg(runningMean), Arg(runningVar), Arg(mean), Arg(invstd), true, Eps, Argument.Bools([1, 1, 1]));

        Tensor Channelwise(Tensor values) => z.dim() == 2 ? values : values.view(-1, 1, 1);

        static Argument Arg(Tensor tensor) => Argument.Tensor(tensor.Handle, tensor);

        static Tensor[] Call(string name, params Argument[] arguments) => [.. new Operator(name).InvokeMany(arguments).Select(Tensor.UnsafeCreateTensor)];
    }

    private static Tensor Forward(Tensor z, Inputs inputs, Tensor? y = null)
    {
        Tensor saved = zeros([4, inputs.Channels], inputs.Weight.dtype);
        NormReluKernels.Forward(z.Handle, inputs.Weight.Handle, inputs.Bias.Handle, Eps, 0, 0, Momentum, (y ?? Rows(z.clone())).Handle, saved.Handle);
        return saved;
    }

    /// <summary>A copy in rows.</summary>
    private static Tensor Rows(Tensor tensor) => new Operand(tensor, tensor.dtype, false).Rows;

    private static Tensor Double(Tensor tensor) => tensor.to(ScalarType.Float64);

    private static double[] Elements(Tensor tensor) => Double(tensor).contiguous().data<double>().ToArray();

    private static double Dot(Tensor a, Tensor b) => (a * b).sum().item<double>();

    private static double Error(Tensor actual, Tensor exact, double magnitude)
        => (actual - exact).abs().max().item<double>() / Math.Max(magnitude, exact.abs().max().item<double>());

    private static void Refused(Action call, string message) => call.Should().Throw<ExternalException>().WithMessage(message);

    private sealed class Results : Dictionary<string, Tensor>
    {
        public double[][] Bits() => [.. Values.Select(Elements)];
    }

    /// <summary>
    /// Operands in float64 whose values <see cref="Type"/> can hold, drawn by chance. Where the argument of ReLU comes near 0, rounding
    /// decides its side: g and the tangents that are compared are 0 there.
    /// </summary>
    private sealed record Inputs
    {
        public Inputs(long[] shape, ScalarType type)
        {
            using var random = new Generator(11);
            Type = type;
            Channels = shape[1];
            (Z, G, T1, T2) = ((Draw(shape) * 2) + 0.5, Draw(shape), Draw(shape), Draw(shape));
            (Weight, Bias, DWeight, DBias) = (Draw([Channels]).abs() + 0.5, Draw([Channels]), Draw([Channels]), Draw([Channels]));
            (Z, Weight, Bias) = (Rounded(Z), Rounded(Weight), Rounded(Bias));
            long[] rows = shape.Length == 2 ? [0] : [0, 2, 3];
            Tensor centred = Z - (Z.sum(rows, keepdim: true) * Channels / Z.numel());
            Tensor argument = centred / ((centred * centred).sum(rows, keepdim: true) * Channels / Z.numel() + Eps).sqrt();
            argument = (argument.transpose(1, -1) * Weight + Bias).transpose(1, -1);
            Clear = argument.abs().gt(1e-4).to(ScalarType.Float64);
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
        public (string Name, double Magnitude)[] Magnitudes(Results exact)
        {
            double scale = (exact["invstd"] * Weight).abs().max().item<double>();
            double sum = G.abs().sum(Z.dim() == 2 ? [0] : [0, 2, 3]).max().item<double>();
            double tangent = (T1 + T2).abs().max().item<double>() * scale, gradient = G.abs().max().item<double>() * scale;
            return [("y", 1), ("mean", 1), ("invstd", 0), ("runningMean", 0), ("runningVar", 0), ("dz", gradient), ("dWeight", sum), ("dBias", sum), ("dy", tangent)];
        }

        /// <summary>With weight and bias in another type.</summary>
        public Inputs As(ScalarType type) => this with { Weight = Weight.to(type), Bias = Bias.to(type) };

        private Tensor Rounded(Tensor tensor) => Double(tensor.to(Type));
    }

    /// <summary>A copy of a tensor as rows, alone or amid the channels of a wider buffer.</summary>
    private sealed class Operand : IDisposable
    {
        private const long Before = 2, After = 3;

        private readonly Tensor _buffer; // [M, row stride]
        private readonly bool _strided;

        public Operand(Tensor values, ScalarType type, bool strided)
        {
            long[] shape = values.shape;
            long channels = shape[1], rows = values.numel() / channels, stride = strided ? Before + channels + After : channels;
            long[] strides = shape.Length == 2 ? [stride, 1] : [shape[2] * shape[3] * stride, 1, shape[3] * stride, stride];
            _strided = strided;
            _buffer = full([rows, stride], Sentinel, type);
            Rows = _buffer.as_strided(shape, strides, strided ? Before : 0);
            _ = Rows.copy_(values);
        }

        public Tensor Rows { get; }

        public nint Handle => Rows.Handle;

        public void CheckNeighbours()
        {
            if (_strided)
            {
                long channels = Rows.shape[1];
                foreach (Tensor neighbours in new[] { _buffer.narrow(1, 0, Before), _buffer.narrow(1, Before + channels, After) })
                {
                    neighbours.ne(Sentinel).sum().item<long>().Should().Be(0, "neighbours keep their values");
                }
            }
        }

        public void Dispose()
        {
            Rows.Dispose();
            _buffer.Dispose();
        }
    }
}

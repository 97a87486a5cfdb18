using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Backbones.Kernels;
using static Imta.MetaWeight.Tests.Backbones.Kernels.KernelRun;

namespace Imta.MetaWeight.Tests.Backbones.Kernels;

/// <summary>The kernels against libtorch's own batch normalisation in float64, at the width of vectors that this process has.</summary>
public sealed class NormReluKernelsTests
{
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

    [Theory]
    [MemberData(nameof(Cases))]
    public void All_results_are_libtorchs(int channels, ScalarType type)
    {
        foreach (long[] image in Images)
        {
            using DisposeScope scope = NewDisposeScope();
            var inputs = new KernelInputs([image[0], channels, image[1], image[2]], type);
            KernelResults exact = Libtorchs(inputs, ScalarType.Float64);

            // float32: as near to the exact results as libtorch's own float32, or within a few roundings.
            KernelResults peer = Libtorchs(inputs, type);
            foreach (bool isStrided in new[] { false, true })
            {
                KernelResults ours = Ours(inputs, isStrided);
                foreach ((string name, double magnitude) in inputs.Magnitudes(exact))
                {
                    double bound = type == ScalarType.Float64 ? 1e-12 : Math.Max(2e-6, 2 * Error(peer[name], exact[name], magnitude));
                    Error(ours[name], exact[name], magnitude).Should()
                        .BeLessThan(bound, $"{name}, strided {isStrided}, {string.Join("x", image)}");
                }
            }
        }
    }

    [Theory]
    [InlineData(2, 6)]
    [InlineData(777, 12)]
    [InlineData(5000, 17)]
    [InlineData(130, 128)]
    [InlineData(3, 2500)]
    public void Rows_of_two_dimensions_are_those_of_images(int rows, int channels)
    {
        using DisposeScope scope = NewDisposeScope();
        var inputs = new KernelInputs([rows, channels], ScalarType.Float64);
        KernelResults exact = Libtorchs(inputs, ScalarType.Float64);
        foreach (bool isStrided in new[] { false, true })
        {
            KernelResults ours = Ours(inputs, isStrided);
            inputs.Magnitudes(exact).Should().AllSatisfy(
                entry => Error(ours[entry.Name], exact[entry.Name], entry.Magnitude).Should().BeLessThan(1e-12, entry.Name));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(6)]
    [InlineData(17)]
    [InlineData(128)]
    public void The_tangent_is_the_limit_of_differences(int channels)
    {
        using DisposeScope scope = NewDisposeScope();
        const double h = 1e-6;
        var inputs = new KernelInputs([2, channels, 7, 5], ScalarType.Float64);
        Tensor difference = (Shifted(h) - Shifted(-h)).div(Held(2 * h));

        Error(Ours(inputs, false)["dy"], difference * inputs.Clear, 1).Should().BeLessThan(1e-7);

        Tensor Shifted(double step) => Ours(
            inputs with
            {
                Z = inputs.Z.add(inputs.T1.add(inputs.T2, One).mul(Held(step)), One),
                Weight = inputs.Weight.add(inputs.DWeight.mul(Held(step)), One),
                Bias = inputs.Bias.add(inputs.DBias.mul(Held(step)), One),
            },
            false)["y"];
    }

    /// <summary>⟨J t, g⟩ = ⟨t, Jᵀ g⟩ for any shape.</summary>
    [Fact]
    public void Tangent_and_gradient_are_adjoint()
        => Prop.ForAll(Shapes(), shape =>
        {
            using DisposeScope scope = NewDisposeScope();
            var inputs = new KernelInputs(shape, ScalarType.Float64);
            KernelResults ours = Ours(inputs, isStrided: shape[1] % 2 == 0);

            double forward = Dot(ours["dy"], inputs.G);
            double byParameters = Dot(inputs.DWeight, ours["dWeight"]) + Dot(inputs.DBias, ours["dBias"]);
            Tensor direction = inputs.T1.add(inputs.T2, One);
            double backward = Dot(direction, ours["dz"]) + byParameters;
            double magnitude = Dot(ours["dy"].abs(), inputs.G.abs()) + Dot(direction.abs(), ours["dz"].abs());
            return Math.Abs(forward - backward) <= 1e-13 * (1 + magnitude);
        }).Hold();

    /// <summary>Again gives y to the bit, whatever the shape.</summary>
    [Fact]
    public void Again_is_the_same_once_more()
        => Prop.ForAll(Shapes(), shape =>
        {
            using DisposeScope scope = NewDisposeScope();
            var inputs = new KernelInputs(shape, ScalarType.Float32);
            Tensor z = Rows(inputs.Z.to(ScalarType.Float32)), y = zeros_like(z), again = zeros_like(z);
            Tensor saved = Forward(z, inputs.As(ScalarType.Float32), y);
            NormReluKernels.Recompute(z, saved, again);
            return Elements(y).AsSpan().SequenceEqual(Elements(again));
        }).Hold();

    [Fact]
    public void What_is_left_out_of_a_tangent_is_zero()
    {
        using DisposeScope scope = NewDisposeScope();
        var inputs = new KernelInputs([2, 12, 9, 9], ScalarType.Float64);
        Tensor z = Rows(inputs.Z), t = Rows(inputs.T1), none = Rows(zeros_like(inputs.Z));
        Tensor saved = Forward(z, inputs), zero = zeros([12L], ScalarType.Float64), with = Rows(inputs.Z), without = Rows(inputs.Z);

        NormReluKernels.Tangent(t, none, z, zero, zero, saved, with);
        NormReluKernels.Tangent(t, null, z, null, null, saved, without);

        Elements(without).Should().Equal(Elements(with));
    }

    [Theory]
    [InlineData(double.NaN)]
    [InlineData(double.PositiveInfinity)]
    public void What_is_no_number_spoils_its_channel_and_no_other(double value)
    {
        foreach (int channels in new[] { 5, 80 })
        {
            using DisposeScope scope = NewDisposeScope();
            var inputs = new KernelInputs([501, channels], ScalarType.Float32);
            _ = inputs.Z.narrow(0, 333, 1).narrow(1, 2, 1).fill_(Held(value));

            KernelResults ours = Ours(inputs, true);

            foreach (string name in new[] { "y", "dz", "dy", "invstd", "runningVar" })
            {
                double[] elements = Elements(ours[name]);
                for (int i = 0; i < elements.Length; i++)
                {
                    double.IsNaN(elements[i]).Should().Be(i % channels == 2, $"{name}[{i}] is {elements[i]}");
                }
            }
        }
    }

    [Theory]
    [InlineData(100, 0.01)]
    [InlineData(-10000, 1)]
    [InlineData(1000000, 30)]
    public void A_large_mean_costs_the_variance_no_digits(double mean, double deviation)
    {
        using DisposeScope scope = NewDisposeScope();
        var inputs = new KernelInputs([4096, 12], ScalarType.Float32);
        inputs = inputs with { Z = inputs.Z.mul(Held(deviation)).add(Held(mean), One).to(ScalarType.Float32).to(ScalarType.Float64) };
        KernelResults exact = Libtorchs(inputs, ScalarType.Float64), ours = Ours(inputs, false);

        Error(ours["mean"], exact["mean"], 0).Should().BeLessThan(1e-7);
        ((ours["invstd"] - exact["invstd"]) / exact["invstd"]).abs().max().item<double>().Should().BeLessThan(1e-6);
    }

    [Theory]
    [InlineData(2, 6)]
    [InlineData(1001, 6)]
    [InlineData(1001, 17)]
    [InlineData(300, 224)]
    public void Rows_are_added_whatever_their_distance(int rows, int channels)
    {
        using DisposeScope scope = NewDisposeScope();
        var inputs = new KernelInputs([rows, channels], ScalarType.Float32);
        double[] expected = Elements(inputs.T1.to(ScalarType.Float32).add(inputs.T2.to(ScalarType.Float32), One));
        for (int k = 0; k < 4; k++)
        {
            var target = new RowsOperand(inputs.T1, ScalarType.Float32, k % 2 == 1);
            var source = new RowsOperand(inputs.T2, ScalarType.Float32, k / 2 == 1);

            NormReluKernels.AddRows(target.Rows, source.Rows);

            Elements(target.Rows).Should().Equal(expected);
            target.CheckNeighbours();
            source.CheckNeighbours();
        }
    }

    [Fact]
    public void An_operand_may_be_written_over_and_slices_of_one_buffer_are_apart()
    {
        using DisposeScope scope = NewDisposeScope();
        var inputs = new KernelInputs([999, 6], ScalarType.Float32);
        Tensor buffer = zeros([999, 15L], ScalarType.Float32), z = buffer.narrow(1, 0, 6), y = buffer.narrow(1, 6, 6);
        Tensor dense = Rows(inputs.Z.to(ScalarType.Float32));
        _ = z.copy_(inputs.Z);
        inputs = inputs.As(ScalarType.Float32);
        Tensor expected = Rows(dense.clone());
        _ = Forward(dense, inputs, expected);

        _ = Forward(z, inputs, y);
        Elements(y).Should().Equal(Elements(expected));
        Elements(buffer.narrow(1, 12, 3)).Should().AllBeEquivalentTo(0.0);

        _ = Forward(z, inputs, z);
        Elements(z).Should().Equal(Elements(expected));

        Refused(() => Forward(z, inputs, buffer.narrow(1, 3, 6)), "*y partially overlaps z*");
        Refused(() => Forward(z, inputs, buffer.as_strided([999, 6], [6, 1], 0)), "*y partially overlaps z*");
    }

    [Fact]
    public void Running_statistics_are_left_alone_where_there_are_none()
    {
        using DisposeScope scope = NewDisposeScope();
        var inputs = new KernelInputs([64, 3], ScalarType.Float64);
        Tensor z = Rows(inputs.Z), y = Rows(inputs.Z), saved = zeros([4, 3L], ScalarType.Float64), mean = zeros([3L], ScalarType.Float64);

        NormReluKernels.Forward(z, inputs.Weight, inputs.Bias, Eps, null, null, Momentum, y, saved);
        Error(y, Libtorchs(inputs, ScalarType.Float64)["y"], 1).Should().BeLessThan(1e-12);
        Refused(
            () => NormReluKernels.Forward(z, inputs.Weight, inputs.Bias, Eps, mean, null, Momentum, y, saved),
            "*running mean and variance must both be given or both be null*");
    }

    [Fact]
    public void Autograd_notices_that_a_tensor_it_saved_was_written()
    {
        using DisposeScope scope = NewDisposeScope();
        var inputs = new KernelInputs([64, 3], ScalarType.Float64);
        Tensor leaf = ones_like(inputs.Z).requires_grad_(), y = Rows(inputs.Z), product = (leaf * y).sum();
        _ = Forward(Rows(inputs.Z), inputs, y);

        FluentActions.Invoking(() => product.backward()).Should().Throw<Exception>().WithMessage("*modified by an inplace operation*");
    }

    [Fact]
    public void A_leaf_that_requires_a_gradient_is_written_like_any_other_and_the_grad_mode_stays()
    {
        using DisposeScope scope = NewDisposeScope();
        var inputs = new KernelInputs([64, 3], ScalarType.Float64);
        Tensor leaf = zeros_like(inputs.Z).requires_grad_();

        _ = Forward(Rows(inputs.Z), inputs, leaf);

        Error(leaf.detach(), Libtorchs(inputs, ScalarType.Float64)["y"], 1).Should().BeLessThan(1e-12);
        is_grad_enabled().Should().BeTrue();
    }

    [Fact]
    public void Which_tensors_are_rows()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor buffer = zeros([2L * 3 * 4 * 8], ScalarType.Float32), disposed = zeros([5, 3L]);
        disposed.Dispose();
        Tensor[] rows =
        [
            zeros([5, 3L]), zeros([2, 1, 3L, 4]), buffer.as_strided([2, 6, 3, 4], [96, 1, 32, 8]), buffer.as_strided([5, 3], [8, 1], 2),
            buffer.as_strided([1, 6, 1, 4], [1, 1, 1, 8]), buffer.as_strided([2, 6, 1, 1], [9, 1, 77, 77]),
            zeros([1, 7L, 1, 1], ScalarType.Float64),
        ];
        Tensor[] others =
        [
            zeros([2, 3L, 4, 5]), zeros([5L]), zeros([2, 3L, 4]), zeros([0, 3L]),
            zeros([5, 3L], ScalarType.Int64), zeros([5, 3L], ScalarType.Float16),
            zeros([3, 5L]).t(), zeros([1, 3L]).expand(5, 3),
            buffer.as_strided([2, 6, 3, 4], [90, 1, 32, 8]), buffer.as_strided([5, 3], [2, 1]),
            zeros([5, 3L], ScalarType.ComplexFloat32).conj().imag, zeros([5, 3L]).to_sparse(), zeros([5, 3L], device: META),
        ];

        rows.Should().AllSatisfy(tensor => NormReluKernels.Supports(tensor).Should().BeTrue(ShapeText(tensor)));
        others.Should().AllSatisfy(
            tensor => NormReluKernels.Supports(tensor).Should().BeFalse($"{ShapeText(tensor)} {tensor.dtype}"));
        NormReluKernels.Supports(null).Should().BeFalse();
        NormReluKernels.Supports(disposed).Should().BeFalse();
    }

    [Fact]
    public void Every_wrong_operand_is_named()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor good = ones([4, 3L]), vector = ones([3L]), saved = ones([4, 3L]), shape = ones([5, 3L]);
        Tensor wide = ones([4, 3L], ScalarType.Float64), whole = ones([4, 3L], ScalarType.Int64), columns = ones([3, 4L]).t();
        Tensor one = ones([1, 3L]), gaps = ones([6L]).as_strided([3], [2]), disposed = ones([4, 3L]);
        disposed.Dispose();
        (Action Call, string Message)[] wrong =
        [
            (() => Forward(columns), "*: z is not laid out as rows*shape [4, 3], strides [1, 4]*"),
            (() => Forward(whole), "*: z is neither float32 nor float64*"),
            (() => Forward(vector), "*: z is neither [N, C] nor [N, C, H, W]*"),
            (() => Forward(zeros([0, 3L])), "*: z has no elements*"),
            (() => Forward(disposed), "*: z is an undefined tensor*"),
            (() => Forward(one, y: one.clone()), "*a single row has no statistics*"),
            (() => Forward(good, y: wide), "*: y has element type Float64, but z has Float32*"),
            (() => Forward(good, y: shape), "*: y has the shape [5, 3], z [4, 3]*"),
            (() => Forward(good, weight: ones([4L])), "*: weight has the shape [4] instead of [3]*"),
            (() => Forward(good, weight: gaps), "*: weight is not contiguous; pass weight.contiguous()*"),
            (() => Forward(good, weight: ones([3L], ScalarType.Float64)), "*: weight has element type Float64, unlike the rows*"),
            (() => Forward(good, saved: ones([3, 4L])), "*: saved has the shape [3, 4] instead of [4, 3]*"),
            (() => Forward(good, eps: -1), "*eps is -1*"),
            (() => Forward(good, eps: double.NaN), "*eps is NaN*"),
            (() => Forward(good, momentum: double.PositiveInfinity), "*the momentum is Infinity*"),
            (() => NormReluKernels.Forward(null!, vector, vector, Eps, null, null, Momentum, good, saved), "*z is an undefined tensor*"),
            (() => NormReluKernels.Forward(good, null!, vector, Eps, null, null, Momentum, good, saved), "*weight is an undefined tensor*"),
            (() => NormReluKernels.Recompute(good, vector, good), "*: saved has the shape * instead of [4, 3]*"),
            (() => Backward(shape, good), "*: g has the shape [5, 3]*"),
            (() => Backward(columns, good), "*: g is not laid out as rows*"),
            (() => NormReluKernels.Backward(good, good, null!, good, vector, vector), "*saved is an undefined tensor*"),
            (() => NormReluKernels.Backward(good, good, saved, null!, vector, vector), "*dz is an undefined tensor*"),
            (() => NormReluKernels.Backward(good, good, saved, good, vector, null!), "*dBias is an undefined tensor*"),
            (() => NormReluKernels.Tangent(null!, null, good, null, null, saved, good), "*t1 is an undefined tensor*"),
            (
                () => NormReluKernels.Tangent(good, wide, good, null, null, saved, good),
                "*: t2 has element type Float64, but z has Float32*"
            ),
            (() => NormReluKernels.Tangent(good, null, good, gaps, null, saved, good), "*: dWeight is not contiguous*"),
            (() => NormReluKernels.AddRows(good, shape), "*: source has the shape*"),
            (() => NormReluKernels.AddRows(null!, good), "*target is an undefined tensor*"),
        ];

        foreach ((Action call, string message) in wrong)
        {
            Refused(call, message);
        }

        Elements(good).Should().AllBeEquivalentTo(1.0, "nothing is written by a call that is refused");

        void Forward(Tensor z, Tensor? weight = null, Tensor? y = null, Tensor? saved = null, double eps = Eps, double momentum = Momentum)
            => NormReluKernels.Forward(z, weight ?? vector, vector, eps, null, null, momentum, y ?? good.clone(), saved ?? ones([4, 3L]));

        void Backward(Tensor g, Tensor z) => NormReluKernels.Backward(g, z, saved, good, vector, vector);
    }

    /// <summary>The tiles of a plan are all rows, once; a chunk is never without tiles.</summary>
    [Fact]
    public void A_plan_cuts_all_rows()
        => Prop.ForAll(ArbMap.Default.ArbFor<(PositiveInt Rows, PositiveInt Channels, bool IsDouble)>(), shape =>
        {
            long rows = shape.Rows.Get * 977L;
            var plan = new TilePlan(rows, shape.Channels.Get, shape.IsDouble ? sizeof(double) : sizeof(float));
            long covered = (plan.TileRows * (plan.Tiles - 1)) + plan.RowsOf(plan.Tiles - 1);
            bool reaches = plan.ChunkTiles * (plan.Chunks - 1) < plan.Tiles && plan.ChunkTiles * plan.Chunks >= plan.Tiles;
            return covered == rows && plan.RowsOf(plan.Tiles - 1) > 0 && reaches;
        }).Hold();

    private static Arbitrary<long[]> Shapes()
    {
        Gen<long[]> images =
            from n in Gen.Choose(2, 5)
            from c in Gen.Choose(1, 70)
            from h in Gen.Choose(1, 12)
            from w in Gen.Choose(1, 12)
            select new long[] { n, c, h, w };
        Gen<long[]> vectors = from n in Gen.Choose(2, 300) from c in Gen.Choose(1, 300) select new long[] { n, c };
        return Gen.OneOf(images, vectors).ToArbitrary();
    }

    private static Tensor Forward(Tensor z, KernelInputs inputs, Tensor? y = null)
    {
        Tensor saved = zeros([4, inputs.Channels], inputs.Weight.dtype);
        NormReluKernels.Forward(z, inputs.Weight, inputs.Bias, Eps, null, null, Momentum, y ?? Rows(z.clone()), saved);
        return saved;
    }

    /// <summary>A copy in rows.</summary>
    private static Tensor Rows(Tensor tensor) => new RowsOperand(tensor, tensor.dtype, false).Rows;

    private static double Dot(Tensor a, Tensor b) => (a * b).sum().item<double>();

    private static void Refused(Action call, string message) => call.Should().Throw<ArgumentException>().WithMessage(message);
}

using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Backbones.Linearised;

namespace Imta.MetaWeight.Tests.Backbones.Kernels;

/// <summary>The kernels against libtorch's own convolutions in float64.</summary>
public sealed class ConvolutionKernelsTests
{
    /// <summary>N, I, O, H, W, kernel, stride, padding: what MSDNet and RANet have, and what no vector or tile divides.</summary>
    public static TheoryData<int, int, int, int, int, int, int, int> Shapes => new()
    {
        { 4, 40, 6, 32, 32, 1, 1, 0 }, { 3, 6, 6, 32, 32, 3, 1, 1 }, { 3, 6, 6, 32, 32, 3, 2, 1 }, { 5, 24, 12, 16, 16, 3, 2, 1 },
        { 20, 48, 12, 8, 8, 3, 1, 1 }, { 9, 208, 128, 8, 8, 3, 2, 1 }, { 9, 128, 128, 4, 4, 3, 2, 1 }, { 2, 3, 16, 32, 32, 3, 1, 1 },
        { 2, 3, 32, 30, 31, 7, 2, 3 }, { 1, 5, 7, 1, 1, 1, 1, 0 }, { 1, 5, 7, 1, 1, 3, 1, 1 }, { 3, 17, 33, 5, 7, 3, 2, 1 },
        { 70, 19, 50, 3, 2, 1, 1, 0 }, { 2, 4, 9, 9, 8, 1, 2, 0 }, { 2, 4, 9, 8, 9, 2, 3, 0 }, { 40, 96, 24, 8, 8, 3, 1, 1 },
        { 6, 33, 65, 14, 14, 1, 1, 0 },
        { 1, 64, 32, 56, 56, 3, 1, 1 }, { 2, 2, 3, 4, 4, 1, 1, 1 }, { 2, 14, 63, 11, 12, 3, 3, 0 }, { 513, 1, 1, 1, 1, 1, 1, 0 },
        { 700, 3, 2, 1, 1, 1, 1, 0 },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Values_and_gradients_are_libtorchs(int n, int i, int o, int h, int w, int kernel, int stride, int padding)
    {
        foreach (ScalarType type in new[] { ScalarType.Float64, ScalarType.Float32 })
        {
            foreach (bool isSliced in new[] { false, true })
            {
                using DisposeScope scope = NewDisposeScope();
                Errors(new Case([n, i, h, w], o, kernel, stride, padding), type, isSliced).Should()
                    .AllSatisfy(error => error.Should().BeLessThan(type == ScalarType.Float64 ? 1e-14 : 1e-6));
            }
        }
    }

    [Fact]
    public void Values_and_gradients_are_libtorchs_whatever_the_shape()
        => Prop.ForAll(Cases(), one =>
        {
            using DisposeScope scope = NewDisposeScope();
            return Errors(one, ScalarType.Float64, isSliced: one.Outputs % 2 == 0).All(error => error < 1e-14);
        }).Hold();

    /// <summary>Of few channels a window gives several pixels, and how many depends on the width: these weights are packed anew.</summary>
    [Theory]
    [InlineData(3, 6, 3)]
    [InlineData(40, 12, 1)]
    public void Weights_that_stay_packed_give_the_same_bits_for_any_number_and_size_of_images(int input, int output, int kernel)
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(3);
        using var kept = new PackedWeights();
        Tensor weight = randn([output, input, kernel, kernel], generator: random), bias = randn([output], generator: random);
        foreach ((long images, long width) in new[] { (1L, 8L), (1, 8), (5, 8), (2, 7), (1, 8) })
        {
            Tensor x = TensorLayout.ChannelsLast(randn([images, input, 8, width], generator: random));
            Tensor fresh = TensorLayout.Empty([images, output, 8, width], x), again = TensorLayout.Empty([images, output, 8, width], x);
            ConvolutionKernels.Forward(x, weight, bias, 1, kernel / 2, rectifies: true, adds: false, fresh);
            ConvolutionKernels.Forward(x, weight, bias, 1, kernel / 2, rectifies: true, adds: false, kept, [again]);

            KernelRun.Elements(again).Should().Equal(KernelRun.Elements(fresh)).And.Contain(value => value != 0);
            kept.ArePacked.Should().BeTrue();
        }
    }

    [Fact]
    public void Threads_do_not_change_a_bit()
    {
        int before = get_num_threads();
        try
        {
            foreach (Case one in new[] { new Case([33, 6, 16, 16], 12, 3, 2, 1), new Case([2, 40, 16, 16], 6, 1, 1, 0),
                new Case([7, 80, 8, 8], 128, 3, 2, 1) })
            {
                using DisposeScope scope = NewDisposeScope();
                double[][] results = [.. new[] { 1, 2, 3 }.Select(threads =>
                {
                    set_num_threads(threads);
                    return Ours(one, ScalarType.Float32, isSliced: false).SelectMany(KernelRun.Elements).ToArray();
                })];
                results.Should().AllSatisfy(result => result.Should().Equal(results[0]));
            }
        }
        finally
        {
            set_num_threads(before);
        }
    }

    [Theory]
    [InlineData(6, 32, 2)]
    [InlineData(40, 16, 1)]
    [InlineData(48, 8, 2)]
    [InlineData(5, 13, 1)]
    [InlineData(48, 7, 1)]
    [InlineData(3, 2, 2)]
    [InlineData(20, 3, 1)]
    public void A_gradient_may_be_added_to_what_is_there(int channels, int size, int stride)
    {
        using DisposeScope scope = NewDisposeScope();
        foreach (bool isSliced in new[] { false, true })
        {
            var one = new Case([3, channels, size, size], 12, 3, stride, 1);
            (Tensor x, Tensor weight, Tensor byOutput) = one.Operands(ScalarType.Float64, isSliced);
            Tensor alone = Ours(one, ScalarType.Float64, isSliced)[1], sum = Sliced(x.clone(), isSliced);

            ConvolutionKernels.BackwardInput([byOutput], weight, stride, 1, adds: true, sum);

            (sum - x - alone).abs().max().item<double>().Should().BeLessThan(1e-12);
        }
    }

    [Theory]
    [InlineData(40, 6, 6, 32, 1, 1)]
    [InlineData(24, 20, 35, 9, 1, 1)]
    [InlineData(5, 48, 1, 8, 3, 2)]
    [InlineData(130, 16, 32, 5, 3, 1)]
    public void Outputs_may_be_in_two_tensors(int inputs, int first, int second, int size, int kernel, int stride)
    {
        using DisposeScope scope = NewDisposeScope();
        var one = new Case([3, inputs, size, size], first + second, kernel, stride, kernel / 2);
        (Tensor x, Tensor weight, Tensor byOutput) = one.Operands(ScalarType.Float64, isSliced: false);
        Tensor[] whole = Ours(one, ScalarType.Float64, isSliced: false);
        Tensor[] given = [Channels(byOutput.narrow(1, 0, first)), Sliced(byOutput.narrow(1, first, second), isSliced: true)];
        Tensor[] y = [Sliced(zeros_like(given[0]), isSliced: true), Channels(ones_like(given[1]))];
        (Tensor byInput, Tensor byWeight) = (zeros_like(x), zeros_like(weight));

        ConvolutionKernels.Forward(x, weight, null, stride, one.Padding, rectifies: false, adds: true, y);
        ConvolutionKernels.BackwardInput(given, weight, stride, one.Padding, adds: false, byInput);
        ConvolutionKernels.BackwardWeight(given, x, stride, one.Padding, byWeight);

        Same(y[0], whole[0].narrow(1, 0, first));
        Same(y[1].sub(Held(1)), whole[0].narrow(1, first, second));
        Same(byInput, whole[1]);
        Same(byWeight, whole[2]);

        static void Same(Tensor a, Tensor b) => (a - b).abs().max().item<double>().Should().BeLessThan(1e-11);
    }

    [Fact]
    public void ReLU_comes_with_it_and_lets_NaN_pass()
    {
        using DisposeScope scope = NewDisposeScope();
        var one = new Case([3, 5, 6, 7], 21, 3, 1, 1);
        (Tensor x, Tensor weight, _) = one.Operands(ScalarType.Float64, isSliced: false);
        _ = x[0, 0, 0, 0] = double.NaN;
        using Generator random = new(6);
        Tensor bias = randn([21], ScalarType.Float64, generator: random), y = Channels(zeros([3, 21L, 6, 7], ScalarType.Float64));

        ConvolutionKernels.Forward(x, weight, bias, 1, 1, rectifies: true, adds: false, y);

        Tensor expected = nn.functional.relu(nn.functional.conv2d(x, weight, bias, padding: [1, 1]));
        y.allclose(expected, 1e-12, 1e-12, equal_nan: true).Should().BeTrue();
        y.isnan().sum().item<long>().Should().Be(4 * 21);
    }

    [Fact]
    public void A_stride_far_beyond_the_kernel_leaves_pixels_without_a_gradient()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor byInput = Channels(full([1, 1, 3, 3], Held(double.NaN), ScalarType.Float64));
        Tensor two = full([1, 1, 1, 1], Held(2.0), ScalarType.Float64);

        ConvolutionKernels.BackwardInput([two], two, stride: 300, padding: 0, adds: false, byInput);

        byInput.data<double>().ToArray().Should().Equal(4, 0, 0, 0, 0, 0, 0, 0, 0);
    }

    [Fact]
    public void Autograd_notices_that_an_output_was_written()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor leaf = ones([2, 4L, 8, 8]).requires_grad_(), y = Channels(ones([2, 4L, 8, 8])), product = (leaf * y).sum();
        ConvolutionKernels.Forward(Channels(ones([2, 3L, 8, 8])), ones([4, 3L, 3, 3]), null, 1, 1, false, false, y);

        FluentActions.Invoking(() => product.backward()).Should().Throw<Exception>().WithMessage("*modified by an inplace operation*");
    }

    [Fact]
    public void What_does_not_fit_is_refused()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = Channels(ones([2, 3L, 8, 8])), weight = ones([4, 3L, 3, 3]), y = Channels(ones([2, 4L, 8, 8]));
        Action[] wrong =
        [
            ()
                => ConvolutionKernels.Forward(x, weight, null, 2, 1, false, false, y), () => ConvolutionKernels.Forward(
                    x, weight, null, 1, 0, false, false, y),
            ()
                => ConvolutionKernels.Forward(x, ones([4, 2L, 3, 3]), null, 1, 1, false, false, y), () => ConvolutionKernels.BackwardInput(
                    [x], weight, 1, 1, false, x),
            ()
                => ConvolutionKernels.Forward(
                    x, weight.to(ScalarType.Float64), null, 1, 1, false, false, y), () => ConvolutionKernels.Forward(
                    x, weight, null, 0, 1, false, false, y),
            ()
                => ConvolutionKernels.Forward(x, weight, ones([3L]), 1, 1, false, false, y), () => ConvolutionKernels.BackwardWeight(
                    [y], x, 1, 1, ones([3, 4L, 3, 3])),
            ()
                => ConvolutionKernels.Forward(x, weight, null, 1, 1, false, false), () => ConvolutionKernels.Forward(
                    x, null!, null, 1, 1, false, false, y),
            ()
                => ConvolutionKernels.Forward(x, weight, null, 1, 1, false, false, y, y), () => ConvolutionKernels.Forward(
                    x, ones([3, 3L, 1, 1]), null, 1, 0, false, false, x),
            () => ConvolutionKernels.BackwardInput([x], ones([3, 3L, 3, 3]), 1, 1, false, x),
            ()
                => ConvolutionKernels.Forward(
                    Channels(ones([1, 3L, 2, 2])), weight, null, 2, 0, false, false, Channels(ones([1, 4L, 1, 1]))),
            () => ConvolutionKernels.Forward(ones([2, 3L, 8, 8]), weight, null, 1, 1, false, false, y),
        ];
        wrong.Should().AllSatisfy(call => call.Should().Throw<ArgumentException>());
        y.eq(Held(1)).all().item<bool>().Should().BeTrue("nothing is written by a call that is refused");
    }

    private static Arbitrary<Case> Cases()
        => (from n in Gen.Choose(1, 20)
            from i in Gen.Choose(1, 40)
            from o in Gen.Choose(1, 70)
            from kernel in Gen.Choose(1, 4)
            from stride in Gen.Choose(1, 3)
            from padding in Gen.Choose(0, 2)
            from h in Gen.Choose(kernel, 12)
            from w in Gen.Choose(kernel, 12)
            select new Case([n, i, h, w], o, kernel, stride, padding)).ToArbitrary();

    /// <summary>
    /// Of the value and both gradients: the largest difference from libtorch's in float64, relative to the sums of magnitudes.
    /// </summary>
    private static IEnumerable<double> Errors(Case one, ScalarType type, bool isSliced)
    {
        Tensor[] ours = Ours(one, type, isSliced), exact = Libtorchs(one, type, isMagnitude: false), magnitudes = Libtorchs(
            one, type, isMagnitude: true);
        return ours.Select(
            (tensor, k) => ((tensor.to(ScalarType.Float64) - exact[k]).abs() / magnitudes[k].add(Held(1e-300), One)).max().item<double>())
            .ToList();
    }

    /// <summary>The value, and the gradients by input and weight.</summary>
    internal static Tensor[] Ours(Case one, ScalarType type, bool isSliced)
    {
        (Tensor x, Tensor weight, Tensor byOutput) = one.Operands(type, isSliced);
        Tensor y = Target(byOutput.shape), byInput = Target(x.shape), byWeight = full(weight.shape, Held(double.NaN), type);
        ConvolutionKernels.Forward(x, weight, null, one.Stride, one.Padding, rectifies: false, adds: false, y);
        ConvolutionKernels.BackwardInput([byOutput], weight, one.Stride, one.Padding, adds: false, byInput);
        ConvolutionKernels.BackwardWeight([byOutput], x, one.Stride, one.Padding, byWeight);
        return [y, byInput, byWeight];

        Tensor Target(long[] shape) => Sliced(full(shape, Held(double.NaN), type), isSliced);
    }

    private static Tensor[] Libtorchs(Case one, ScalarType type, bool isMagnitude)
    {
        Tensor[] operands = [.. new[] { one.Operands(type, false) }.SelectMany(all => new[] { all.X, all.Weight, all.ByOutput })
            .Select(tensor => tensor.to(ScalarType.Float64)).Select(tensor => isMagnitude ? tensor.abs() : tensor)];
        (Tensor x, Tensor weight, Tensor byOutput) = (operands[0], operands[1], operands[2]);
        long[] stride = [one.Stride, one.Stride], padding = [one.Padding, one.Padding];
        (Tensor? byInput, Tensor byWeight, _) = MissingOperators.ConvolutionBackward(
            byOutput, x, weight, stride, padding, byInput: true, byBias: false);
        return [nn.functional.conv2d(x, weight, null, stride, padding), byInput!, byWeight];
    }

    private static Tensor Channels(Tensor x) => x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2);

    /// <summary>Channels side by side; sliced: in the middle of wider pixels, the rest of which is NaN.</summary>
    private static Tensor Sliced(Tensor x, bool isSliced)
    {
        if (!isSliced)
        {
            return Channels(x);
        }

        Tensor wide = Channels(full([x.shape[0], x.shape[1] + 5, x.shape[2], x.shape[3]], Held(double.NaN), x.dtype));
        return wide.narrow(1, 3, x.shape[1]).copy_(x);
    }

    /// <summary>A convolution, the same numbers at each call.</summary>
    public sealed record Case(long[] Input, long Outputs, long Kernel, long Stride, long Padding)
    {
        public (Tensor X, Tensor Weight, Tensor ByOutput) Operands(ScalarType type, bool isSliced)
        {
            using Generator generator = new(5);
            Tensor Random(params long[] shape) => randn(shape, ScalarType.Float64, generator: generator).to(type);
            return (Sliced(Random(Input), isSliced), Random(Outputs, Input[1], Kernel, Kernel),
                Sliced(Random(Input[0], Outputs, Side(Input[2]), Side(Input[3])), isSliced));
        }

        /// <summary>Elements of the value and of both gradients.</summary>
        public long Results
            => (Input[0] * Outputs * Side(Input[2]) * Side(Input[3])) + Input.Aggregate(1L, (a, b) => a * b)
                + (Outputs * Input[1] * Kernel * Kernel);

        private long Side(long size) => ((size + (2 * Padding) - Kernel) / Stride) + 1;

        public override string ToString()
            => $"[{string.Join(", ", Input)}] to {Outputs}, kernel {Kernel}, stride {Stride}, padding {Padding}";
    }
}

using System.Numerics;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// Convolutions with a square kernel, neither dilated nor in groups, and their gradients, on the CPU: for images of float32 or float64
/// whose channels lie side by side (<see cref="NormReluKernels"/>). They compute what libtorch's <c>conv2d</c> and
/// <c>convolution_backward</c> do, in less time where channels are few.
/// </summary>
/// <remarks>
/// Nothing is recorded for differentiation, but autograd notices that what it may have saved was written. Results depend neither on the
/// number of threads nor, where the processor has a fused multiply-add, on the width of its vectors. That is for finite numbers: a NaN or
/// an infinity may also reach pixels beside those that libtorch lets it reach.
/// </remarks>
/// <exception cref="ArgumentException">
/// From each but <see cref="Supports"/>: operands do not fit, or what is written overlaps what is read.
/// </exception>
/// <exception cref="NotSupportedException">From each: the libtorch that is loaded is not 2.10.</exception>
public static unsafe partial class ConvolutionKernels
{
    private const int Dimensions = 4;
    private static readonly long[] PixelsOfAWindow = [1, 2, 4];

    /// <summary>Whether images can be convolved here with a weight.</summary>
    /// <param name="x"><c>[N, I, H, W]</c>.</param>
    /// <param name="weight"><c>[O, I, K, K]</c>.</param>
    public static bool Supports(Tensor x, Tensor weight)
        => x.ndim == Dimensions && NormReluKernels.Supports(x) && weight.dtype == x.dtype && weight.device_type == DeviceType.CPU
            && weight.is_contiguous();

    /// <summary>Computes y = x ∗ weight + bias, and its ReLU if that is wanted.</summary>
    /// <param name="x"><c>[N, I, H, W]</c>.</param>
    /// <param name="weight"><c>[O, I, K, K]</c>, without gaps.</param>
    /// <param name="bias"><c>[O]</c>; null: zero.</param>
    /// <param name="stride">Pixels from a window to the next.</param>
    /// <param name="padding">Zeros on each side.</param>
    /// <param name="rectifies">Whether max(0, y) is wanted.</param>
    /// <param name="adds">Whether y is added to what is there.</param>
    /// <param name="y"><c>[N, O, H′, W′]</c>, written; or two tensors that have O channels together.</param>
    public static void Forward(
        Tensor x, Tensor weight, Tensor? bias, long stride, long padding, bool rectifies, bool adds, params ReadOnlySpan<Tensor> y)
    {
        Operand input = Operand.Rows(x, "x");
        Windows windows = Checked(x, weight, y, stride, padding);
        ImagePair output = Pair(y, "y", out bool isDense);
        Apart(y, "y", x, "x");
        input.ByType(Run<float>, Run<double>);
        NormReluKernels.Finish([.. y], x, weight, bias);

        void Run<T>()
            where T : unmanaged, IBinaryFloatingPointIeee754<T>
        {
            long kernel = weight.shape[2];
            CorrelationPart part = Forward<T>(windows, isDense ? weight.shape[0] : 0);
            var job = new CorrelationJob
            {
                X = new(input.AsImages(), default),
                Y = output,
                Parts = &part,
                PartCount = 1,
                Weights = Operand.Dense<T>(weight, "weight", weight.shape),
                Bias = Operand.Optional<T>(bias, "bias", weight.shape[0]),
                OfOutput = weight.shape[1] * kernel * kernel,
                OfChannel = kernel * kernel,
                Kernel = kernel,
                Rectifies = rectifies,
                Adds = adds,
            };
            Correlation<T>.Run(&job);
        }
    }

    /// <summary>Computes ∂/∂x.</summary>
    /// <param name="byOutput"><c>[N, O, H′, W′]</c>: the gradient by the output; or two tensors that have O channels together.</param>
    /// <param name="weight"><c>[O, I, K, K]</c>, without gaps.</param>
    /// <param name="stride">As forward.</param>
    /// <param name="padding">As forward.</param>
    /// <param name="adds">Whether the gradient is added to what is there.</param>
    /// <param name="byInput"><c>[N, I, H, W]</c>, written.</param>
    public static void BackwardInput(ReadOnlySpan<Tensor> byOutput, Tensor weight, long stride, long padding, bool adds, Tensor byInput)
    {
        _ = Checked(byInput, weight, byOutput, stride, padding);
        ImagePair given = Pair(byOutput, "the gradient by the output", out _);
        Operand written = Operand.Rows(byInput, "the gradient by the input");
        Apart(byOutput, "the gradient by the output", byInput, "the gradient by the input");
        written.ByType(Run<float>, Run<double>);
        NormReluKernels.Finish([byInput], [weight, .. byOutput]);

        void Run<T>()
            where T : unmanaged, IBinaryFloatingPointIeee754<T>
        {
            long kernel = weight.shape[2];
            using var memory = new Rented((nint)(stride * stride) * sizeof(CorrelationPart));
            var parts = (CorrelationPart*)memory.Start;
            var job = new CorrelationJob
            {
                X = given,
                Y = new(written.AsImages(), default),
                Parts = parts,
                PartCount = Backward<T>(kernel, stride, padding, written.AsImages(), written.IsDense, parts),
                Weights = Operand.Dense<T>(weight, "weight", weight.shape),
                OfOutput = kernel * kernel,
                OfChannel = weight.shape[1] * kernel * kernel,
                Kernel = kernel,
                Adds = adds,
            };
            Correlation<T>.Run(&job);
        }
    }

    /// <summary>Computes ∂/∂weight.</summary>
    /// <param name="byOutput"><c>[N, O, H′, W′]</c>: the gradient by the output; or two tensors that have O channels together.</param>
    /// <param name="x"><c>[N, I, H, W]</c>.</param>
    /// <param name="stride">As forward.</param>
    /// <param name="padding">As forward.</param>
    /// <param name="byWeight"><c>[O, I, K, K]</c> without gaps, written.</param>
    public static void BackwardWeight(ReadOnlySpan<Tensor> byOutput, Tensor x, long stride, long padding, Tensor byWeight)
    {
        Windows windows = Checked(x, byWeight, byOutput, stride, padding);
        ImagePair given = Pair(byOutput, "the gradient by the output", out _);
        Operand input = Operand.Rows(x, "x");
        input.ByType(Run<float>, Run<double>);
        NormReluKernels.Finish([byWeight], [x, .. byOutput]);

        void Run<T>()
            where T : unmanaged, IBinaryFloatingPointIeee754<T>
        {
            var job = new WeightGradientJob
            {
                Windows = windows,
                X = input.AsImages(),
                ByOutput = given,
                Gradient = Operand.Dense<T>(byWeight, "the gradient by the weight", byWeight.shape),
            };
            WeightGradient<T>.Run(&job);
        }
    }

    /// <summary>The part of a convolution: a window for each pixel of the output, or for a few if that takes less time.</summary>
    private static CorrelationPart Forward<T>(Windows windows, long outputs)
        where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        long pixels = 1;
        foreach (long more in PixelsOfAWindow)
        {
            if (outputs > 0 && windows.Across % more == 0 && Cost(more) < Cost(pixels))
            {
                pixels = more;
            }
        }

        return new()
        {
            Windows = windows with { Across = windows.Across / pixels, StepAcross = pixels * windows.StepAcross, Width = Width(pixels) },
            Pixels = pixels,
            Down = 1,
            Across = pixels,
            RowStep = 1,
            ColumnStep = 1,
            PixelStep = -windows.StepAcross,
        };

        long Width(long pixels) => windows.Width + ((pixels - 1) * windows.StepAcross);
        double Cost(long pixels) => (double)Width(pixels) * Correlation<T>.Vectors(pixels * outputs) / pixels;
    }

    /// <summary>
    /// The parts of a gradient by the input: row i and column j of the kernel meet the input's pixel (y, x) and the output's (v, u) where
    /// y = stride · v + i − padding, and so across. Pixels whose rows leave one remainder see the same rows of the kernel; so do columns,
    /// unless a window gives all pixels between two columns of the output.
    /// </summary>
    private static long Backward<T>(long kernel, long stride, long padding, Images byInput, bool isDense, CorrelationPart* parts)
        where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        long vectors = Correlation<T>.Vectors(byInput.Channels), apart = 0, columns = 1;
        for (long remainder = 0; remainder < stride; remainder++)
        {
            apart += Seen(remainder, remainder, kernel, stride, padding).Count * vectors;
        }

        double least = (double)apart / stride;
        foreach (long more in PixelsOfAWindow)
        {
            long pixels = stride * more;
            long columnsSeen = Seen(0, pixels - 1, kernel, stride, padding).Count;
            double cost = (double)columnsSeen * Correlation<T>.Vectors(pixels * byInput.Channels) / pixels;
            if (isDense && byInput.Width % pixels == 0 && cost < least)
            {
                (least, columns) = (cost, pixels);
            }
        }

        long count = 0, across = columns == 1 ? stride : columns;
        for (long row = 0; row < stride; row++)
        {
            for (long column = 0; column < across; column += columns)
            {
                (long height, long top) = Seen(row, row, kernel, stride, padding);
                (long width, long left) = Seen(column, column + columns - 1, kernel, stride, padding);
                parts[count++] = new()
                {
                    Windows = new(
                        Count(byInput.Height, row, stride), Count(byInput.Width, column, across), 1, across / stride,
                        top, left, height, width),
                    Pixels = columns,
                    Down = stride,
                    Across = across,
                    Top = row,
                    Left = column,
                    Row = row + padding - (stride * top),
                    RowStep = -stride,
                    Column = column + padding - (stride * left),
                    ColumnStep = -stride,
                    PixelStep = 1,
                };
            }
        }

        return count;

        static long Count(long all, long from, long step) => (all - from + step - 1) / step;
    }

    /// <summary>
    /// How many rows of the output the input's rows from a first to a last see, and which the first of them is; so too columns.
    /// </summary>
    private static (long Count, long First) Seen(long first, long last, long kernel, long stride, long padding)
    {
        long begin = (long)Math.Ceiling((first + padding - kernel + 1) / (double)stride);
        long end = (long)Math.Floor((last + padding) / (double)stride);
        return (Math.Max(0, end - begin + 1), begin);
    }

    /// <summary>Memory to be given back at the end of a scope.</summary>
    private readonly ref struct Rented(nint bytes)
    {
        public void* Start { get; } = TensorMemory.Rent(bytes);

        public void Dispose() => TensorMemory.Return(Start);
    }
}

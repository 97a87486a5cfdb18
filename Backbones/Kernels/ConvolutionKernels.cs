using System.Numerics;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// Convolutions with a square kernel, without dilation or groups, and their gradients, on the CPU: for float32 or float64 images
/// in channels-last layout (<see cref="NormReluKernels"/>). They compute what libtorch's <c>conv2d</c> and
/// <c>convolution_backward</c> do, in less time if there are few channels.
/// </summary>
/// <remarks>
/// Nothing is recorded for differentiation, but autograd is told that tensors it may have saved were modified. Results depend neither on
/// the number of threads nor, where the processor has a fused multiply-add, on the width of its vectors. This holds for finite numbers: a
/// NaN or infinity may also affect neighbouring pixels that it does not affect in libtorch.
/// </remarks>
/// <exception cref="ArgumentException">
/// By every method except <see cref="Supports"/>: operands do not match, or (unless it is a weight gradient) an output overlaps an input.
/// </exception>
/// <exception cref="NotSupportedException">By every method: the loaded libtorch is not 2.10.</exception>
public static unsafe partial class ConvolutionKernels
{
    private const int Dimensions = 4;
    private static readonly long[] PixelsPerWindow = [1, 2, 4];

    /// <summary>Whether these kernels support a convolution of images with a weight.</summary>
    /// <param name="x"><c>[N, I, H, W]</c>.</param>
    /// <param name="weight"><c>[O, I, K, K]</c>.</param>
    public static bool Supports(Tensor x, Tensor weight)
        => x.ndim == Dimensions && NormReluKernels.Supports(x) && weight.dtype == x.dtype && weight.device_type == DeviceType.CPU
            && weight.is_contiguous();

    /// <summary>Computes y = x ∗ weight + bias, optionally followed by ReLU.</summary>
    /// <param name="x"><c>[N, I, H, W]</c>.</param>
    /// <param name="weight"><c>[O, I, K, K]</c>, contiguous.</param>
    /// <param name="bias"><c>[O]</c>; null: zero.</param>
    /// <param name="stride">Pixels between windows.</param>
    /// <param name="padding">Zeros on each side.</param>
    /// <param name="rectifies">Whether to apply ReLU to y.</param>
    /// <param name="adds">Whether y is added to the existing values.</param>
    /// <param name="y"><c>[N, O, H′, W′]</c>, written; or two tensors with O channels in total.</param>
    public static void Forward(
        Tensor x, Tensor weight, Tensor? bias, long stride, long padding, bool rectifies, bool adds, params ReadOnlySpan<Tensor> y)
        => Forward(x, weight, bias, stride, padding, rectifies, adds, kept: null, y);

    /// <summary>The same; the packed weights stay in <paramref name="kept"/> for the next call with this weight and bias.</summary>
    internal static void Forward(
        Tensor x, Tensor weight, Tensor? bias, long stride, long padding, bool rectifies, bool adds, PackedWeights? kept,
        ReadOnlySpan<Tensor> y)
    {
        Operand input = Operand.Rows(x, "x");
        ConvolutionWindows windows = Checked(x, weight, y, stride, padding);
        ImagePair output = Pair(y, "y", out bool isDense);
        RequireDisjoint(y, "y", x, "x");
        input.ByType(Run<float>, Run<double>);
        NormReluKernels.Finish([.. y], x, weight, bias);

        void Run<T>()
            where T : unmanaged, IBinaryFloatingPointIeee754<T>
        {
            long kernel = weight.size(2);
            CorrelationPart part = Forward<T>(windows, isDense ? weight.size(0) : 0);
            var job = new CorrelationJob
            {
                X = new(input.AsImages(), default),
                Y = output,
                Parts = &part,
                PartCount = 1,
                Weights = Operand.Dense<T>(weight, "weight", weight.Sizes()),
                Bias = Operand.Optional<T>(bias, "bias", weight.size(0)),
                OfOutput = weight.size(1) * kernel * kernel,
                OfChannel = kernel * kernel,
                Kernel = kernel,
                Rectifies = rectifies,
                Accumulates = adds,
            };
            Correlation<T>.Run(&job, kept);
        }
    }

    /// <summary>Computes ∂/∂x.</summary>
    /// <param name="byOutput"><c>[N, O, H′, W′]</c>: the gradient with respect to the output; or two tensors with O channels in
    /// total.</param>
    /// <param name="weight"><c>[O, I, K, K]</c>, contiguous.</param>
    /// <param name="stride">As in the forward pass.</param>
    /// <param name="padding">As in the forward pass.</param>
    /// <param name="adds">Whether the gradient is added to the existing values.</param>
    /// <param name="gradInput"><c>[N, I, H, W]</c>, written.</param>
    public static void BackwardInput(ReadOnlySpan<Tensor> byOutput, Tensor weight, long stride, long padding, bool adds, Tensor gradInput)
    {
        _ = Checked(gradInput, weight, byOutput, stride, padding);
        ImagePair given = Pair(byOutput, "the gradient with respect to the output", out _);
        Operand written = Operand.Rows(gradInput, "the gradient with respect to the input");
        RequireDisjoint(byOutput, "the gradient with respect to the output", gradInput, "the gradient with respect to the input");
        written.ByType(Run<float>, Run<double>);
        NormReluKernels.Finish([gradInput], [weight, .. byOutput]);

        void Run<T>()
            where T : unmanaged, IBinaryFloatingPointIeee754<T>
        {
            long kernel = weight.size(2);
            using var memory = new Rented((nint)(stride * stride) * sizeof(CorrelationPart));
            var parts = (CorrelationPart*)memory.Start;
            var job = new CorrelationJob
            {
                X = given,
                Y = new(written.AsImages(), default),
                Parts = parts,
                PartCount = Backward<T>(kernel, stride, padding, written.AsImages(), written.IsDense, parts),
                Weights = Operand.Dense<T>(weight, "weight", weight.Sizes()),
                OfOutput = kernel * kernel,
                OfChannel = weight.size(1) * kernel * kernel,
                Kernel = kernel,
                Accumulates = adds,
            };
            Correlation<T>.Run(&job);
        }
    }

    /// <summary>Computes ∂/∂weight.</summary>
    /// <param name="byOutput"><c>[N, O, H′, W′]</c>: the gradient with respect to the output; or two tensors with O channels in
    /// total.</param>
    /// <param name="x"><c>[N, I, H, W]</c>.</param>
    /// <param name="stride">As in the forward pass.</param>
    /// <param name="padding">As in the forward pass.</param>
    /// <param name="byWeight"><c>[O, I, K, K]</c>, contiguous, written.</param>
    public static void BackwardWeight(ReadOnlySpan<Tensor> byOutput, Tensor x, long stride, long padding, Tensor byWeight)
    {
        ConvolutionWindows windows = Checked(x, byWeight, byOutput, stride, padding);
        ImagePair given = Pair(byOutput, "the gradient with respect to the output", out _);
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
                GradOutput = given,
                Gradient = Operand.Dense<T>(byWeight, "the gradient with respect to the weight", byWeight.Sizes()),
            };
            WeightGradient<T>.Run(&job);
        }
    }

    /// <summary>The single part of a convolution: one window per output pixel, or per group of pixels if that is faster.</summary>
    private static CorrelationPart Forward<T>(ConvolutionWindows windows, long outputs)
        where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        long pixels = 1;
        foreach (long more in PixelsPerWindow)
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
    /// The parts of a gradient with respect to the input: row i and column j of the kernel connect the input's pixel (y, x) and the
    /// output's (v, u) where y = stride · v + i − padding, and likewise for columns. Pixels whose rows are equal modulo stride use the same
    /// rows of the kernel; likewise for columns, unless a window gives all pixels of one or more strides.
    /// </summary>
    private static long Backward<T>(long kernel, long stride, long padding, ImageSpan gradInput, bool isDense, CorrelationPart* parts)
        where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        long vectors = Correlation<T>.Vectors(gradInput.Channels), apart = 0, columns = 1;
        for (long remainder = 0; remainder < stride; remainder++)
        {
            apart += OutputRange(remainder, remainder, kernel, stride, padding).Count * vectors;
        }

        double least = (double)apart / stride;
        foreach (long more in PixelsPerWindow)
        {
            long pixels = stride * more;
            long columnsSeen = OutputRange(0, pixels - 1, kernel, stride, padding).Count;
            double cost = (double)columnsSeen * Correlation<T>.Vectors(pixels * gradInput.Channels) / pixels;
            if (isDense && gradInput.Width % pixels == 0 && cost < least)
            {
                (least, columns) = (cost, pixels);
            }
        }

        long count = 0, across = columns == 1 ? stride : columns;
        for (long row = 0; row < stride; row++)
        {
            for (long column = 0; column < across; column += columns)
            {
                (long height, long top) = OutputRange(row, row, kernel, stride, padding);
                (long width, long left) = OutputRange(column, column + columns - 1, kernel, stride, padding);
                parts[count++] = new()
                {
                    Windows = new(
                        Count(gradInput.Height, row, stride), Count(gradInput.Width, column, across), 1, across / stride,
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
    /// The number of output rows affected by a range of input rows, and the first of them; likewise for columns.
    /// </summary>
    private static (long Count, long First) OutputRange(long first, long last, long kernel, long stride, long padding)
    {
        long begin = (long)Math.Ceiling((first + padding - kernel + 1) / (double)stride);
        long end = (long)Math.Floor((last + padding) / (double)stride);
        return (Math.Max(0, end - begin + 1), begin);
    }

    /// <summary>Memory that is returned at the end of a scope.</summary>
    private readonly ref struct Rented(nint bytes)
    {
        public void* Start { get; } = TensorMemory.Rent(bytes);

        public void Dispose() => TensorMemory.Return(Start);
    }
}

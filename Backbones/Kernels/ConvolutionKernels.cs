using System.Numerics;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// Convolutions with a square kernel, neither dilated nor in groups, and their gradients, on the CPU: for images of float32 or float64 whose channels lie
/// side by side (<see cref="NormReluKernels"/>). They do what libtorch's <c>conv2d</c> and <c>convolution_backward</c> do, at twice to five times its speed
/// where channels are few.
/// </summary>
/// <remarks>Nothing is recorded for differentiation. Results depend neither on the number of threads nor on the width of the processor's vectors.</remarks>
public static unsafe class ConvolutionKernels
{
    private const int Dimensions = 4;

    /// <summary>Whether images can be convolved here with a weight.</summary>
    /// <param name="x"><c>[N, I, H, W]</c>.</param>
    /// <param name="weight"><c>[O, I, K, K]</c>.</param>
    public static bool Supports(Tensor x, Tensor weight)
        => x.ndim == Dimensions && NormReluKernels.Supports(x) && weight.dtype == x.dtype && weight.device_type == DeviceType.CPU && weight.is_contiguous();

    /// <summary>Computes y = x ∗ weight + bias, and its ReLU if that is wanted.</summary>
    /// <param name="x"><c>[N, I, H, W]</c>.</param>
    /// <param name="weight"><c>[O, I, K, K]</c>, without gaps.</param>
    /// <param name="bias"><c>[O]</c>; null: zero.</param>
    /// <param name="stride">Pixels from a window to the next.</param>
    /// <param name="padding">Zeros on each side.</param>
    /// <param name="rectifies">Whether max(0, y) is wanted.</param>
    /// <param name="y"><c>[N, O, H′, W′]</c>, written.</param>
    public static void Forward(Tensor x, Tensor weight, Tensor? bias, long stride, long padding, bool rectifies, Tensor y)
    {
        (Operand input, Operand output) = (Operand.Rows(x, "x"), Operand.Rows(y, "y"));
        Windows windows = Of(x, weight, y, stride, padding);
        input.ByType(Run<float>, Run<double>);
        GC.KeepAlive((x, weight, bias, y));

        void Run<T>()
            where T : unmanaged, IBinaryFloatingPointIeee754<T>
        {
            long kernel = weight.shape[2], window = kernel * kernel;
            var part = new CorrelationPart { Windows = windows, OutputStep = 1, OfOutput = weight.shape[1] * window, OfChannel = window, OfRow = kernel, OfColumn = 1 };
            var job = new CorrelationJob
            {
                X = input.AsImages(),
                Y = output.AsImages(),
                Parts = &part,
                PartCount = 1,
                Weights = Operand.Dense<T>(weight, "weight", weight.shape),
                Bias = Operand.Optional<T>(bias, "bias", weight.shape[0]),
                Rectifies = rectifies,
            };
            Correlation<T>.Run(&job);
        }
    }

    /// <summary>Computes ∂/∂x.</summary>
    /// <param name="byOutput"><c>[N, O, H′, W′]</c>: the gradient by the output.</param>
    /// <param name="weight"><c>[O, I, K, K]</c>, without gaps.</param>
    /// <param name="stride">As forward.</param>
    /// <param name="padding">As forward.</param>
    /// <param name="byInput"><c>[N, I, H, W]</c>, written.</param>
    public static void BackwardInput(Tensor byOutput, Tensor weight, long stride, long padding, Tensor byInput)
    {
        (Operand given, Operand written) = (Operand.Rows(byOutput, "the gradient by the output"), Operand.Rows(byInput, "the gradient by the input"));
        _ = Of(byInput, weight, byOutput, stride, padding);
        given.ByType(Run<float>, Run<double>);
        GC.KeepAlive((byOutput, weight, byInput));

        void Run<T>()
            where T : unmanaged, IBinaryFloatingPointIeee754<T>
        {
            // Those of the input's pixels whose rows and columns leave the same remainders see the same of the kernel.
            CorrelationPart* parts = stackalloc CorrelationPart[(int)(stride * stride)];
            for (long p = 0; p < stride * stride; p++)
            {
                parts[p] = Part(weight, stride, padding, byInput, p / stride, p % stride);
            }

            var job = new CorrelationJob
            {
                X = given.AsImages(),
                Y = written.AsImages(),
                Parts = parts,
                PartCount = stride * stride,
                Weights = Operand.Dense<T>(weight, "weight", weight.shape),
            };
            Correlation<T>.Run(&job);
        }
    }

    /// <summary>Computes ∂/∂weight.</summary>
    /// <param name="byOutput"><c>[N, O, H′, W′]</c>: the gradient by the output.</param>
    /// <param name="x"><c>[N, I, H, W]</c>.</param>
    /// <param name="stride">As forward.</param>
    /// <param name="padding">As forward.</param>
    /// <param name="byWeight"><c>[O, I, K, K]</c> without gaps, written.</param>
    public static void BackwardWeight(Tensor byOutput, Tensor x, long stride, long padding, Tensor byWeight)
    {
        (Operand given, Operand input) = (Operand.Rows(byOutput, "the gradient by the output"), Operand.Rows(x, "x"));
        Windows windows = Of(x, byWeight, byOutput, stride, padding);
        input.ByType(Run<float>, Run<double>);
        GC.KeepAlive((byOutput, x, byWeight));

        void Run<T>()
            where T : unmanaged, IBinaryFloatingPointIeee754<T>
        {
            var job = new WeightGradientJob
            {
                Windows = windows,
                X = input.AsImages(),
                ByOutput = given.AsImages(),
                Gradient = Operand.Dense<T>(byWeight, "the gradient by the weight", byWeight.shape),
            };
            WeightGradient<T>.Run(&job);
        }
    }

    private static Windows Of(Tensor x, Tensor weight, Tensor y, long stride, long padding)
    {
        (long[] input, long[] output, long[] kernel) = (x.shape, y.shape, weight.shape);
        bool fits = input.Length == Dimensions && output.Length == Dimensions && kernel.Length == Dimensions && kernel[2] == kernel[3] && stride > 0 && padding >= 0
            && x.dtype == y.dtype && x.dtype == weight.dtype && (input[0], input[1], output[1]) == (output[0], kernel[1], kernel[0])
            && output[2] == ((input[2] + (2 * padding) - kernel[2]) / stride) + 1 && output[3] == ((input[3] + (2 * padding) - kernel[2]) / stride) + 1;
        return fits
            ? new(output[2], output[3], stride, -padding, -padding, kernel[2], kernel[2])
            : throw new ArgumentException(
                $"a convolution of [{string.Join(", ", input)}] by [{string.Join(", ", kernel)}], stride {stride}, padding {padding}, has no output "
                + $"[{string.Join(", ", output)}], or the element types differ.");
    }

    private static CorrelationPart Part(Tensor weight, long stride, long padding, Tensor byInput, long top, long left)
    {
        long inputs = weight.shape[1], kernel = weight.shape[2], window = kernel * kernel;
        (long height, long firstRow, long ofRow) = Seen(top, kernel, stride, padding);
        (long width, long firstColumn, long ofColumn) = Seen(left, kernel, stride, padding);
        return new()
        {
            Windows = new((byInput.shape[2] - top + stride - 1) / stride, (byInput.shape[3] - left + stride - 1) / stride, 1, firstRow, firstColumn, height, width),
            OutputStep = stride,
            Top = top,
            Left = left,
            First = (ofRow * kernel) + ofColumn,
            OfOutput = window,
            OfChannel = inputs * window,
            OfRow = -stride * kernel,
            OfColumn = -stride,
        };
    }

    /// <summary>Of the input's rows that leave a remainder: how many of the output's they see, from which on, and which of the kernel's belongs to the first.</summary>
    private static (long Count, long First, long OfKernel) Seen(long remainder, long kernel, long stride, long padding)
    {
        long least = (remainder + padding) % stride, count = least < kernel ? ((kernel - 1 - least) / stride) + 1 : 0;
        return (count, ((remainder + padding - least) / stride) - (count - 1), least + (stride * (count - 1)));
    }
}

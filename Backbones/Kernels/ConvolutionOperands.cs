namespace Imta.MetaWeight.Backbones.Kernels;

/// <content>The checks of operands.</content>
public static unsafe partial class ConvolutionKernels
{
    /// <summary>Throws if any of the tensors overlaps another of them, or <paramref name="other"/>.</summary>
    private static void RequireDisjoint(ReadOnlySpan<Tensor> tensors, string name, Tensor other, string otherName)
    {
        Operand second = Operand.Rows(other, otherName), last = Operand.Rows(tensors[^1], name);
        foreach (Tensor tensor in tensors)
        {
            Operand.Rows(tensor, name).RequireDistinct(second);
        }

        if (tensors.Length > 1)
        {
            Operand.Rows(tensors[0], name).RequireDistinct(last);
        }
    }

    /// <summary>The images of one or two tensors, which must match except in their channels.</summary>
    private static ImagePair Pair(ReadOnlySpan<Tensor> tensors, string name, out bool isDense)
    {
        Operand first = Operand.Rows(tensors[0], name);
        isDense = tensors.Length == 1 && first.IsDense;
        return new(first.AsImages(), tensors.Length == 1 ? default : Operand.Rows(tensors[1], name).AsImages());
    }

    private static ConvolutionWindows Checked(Tensor x, Tensor weight, ReadOnlySpan<Tensor> y, long stride, long padding)
    {
        if (y.Length is not (1 or 2))
        {
            throw new ArgumentException($"{y.Length} output tensors were given for a convolution, which takes 1 or 2.");
        }

        foreach (Tensor tensor in (ReadOnlySpan<Tensor>)[x, weight, .. y])
        {
            ArgumentNullException.ThrowIfNull(tensor);
        }

        (long[] input, long[] output, long[] kernel) = (x.Sizes(), y[0].Sizes(), weight.Sizes());
        bool fits = input.Length == Dimensions && output.Length == Dimensions && kernel.Length == Dimensions
            && kernel[2] == kernel[3] && kernel[2] > 0 && stride > 0 && padding >= 0
            && Math.Min(input[2], input[3]) + (2 * padding) >= kernel[2];
        foreach (Tensor one in y)
        {
            fits = fits && one.dtype == x.dtype
                && one.Sizes() is [var n, _, var h, var w] && (n, h, w) == (output[0], output[2], output[3]);
        }

        output[1] += fits && y.Length == 2 ? y[1].size(1) : 0;
        fits = fits && x.dtype == weight.dtype && (input[0], input[1], output[1]) == (output[0], kernel[1], kernel[0])
            && output[2] == ConvolutionWindows.Count(input[2], kernel[2], stride, padding)
            && output[3] == ConvolutionWindows.Count(input[3], kernel[2], stride, padding);
        return fits
            ? new(output[2], output[3], stride, stride, -padding, -padding, kernel[2], kernel[2])
            : throw new ArgumentException(
                $"a convolution of [{string.Join(", ", input)}] by [{string.Join(", ", kernel)}], stride {stride}, padding {padding}, "
                + $"has no output [{string.Join(", ", output)}], or the element types differ.");
    }
}

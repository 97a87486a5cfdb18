using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// libtorch operators that layers need and TorchSharp does not expose; they work on any device, with or without autograd. Images are
/// <c>[N, C, H, W]</c>; a gradient with respect to a value has the value's shape.
/// </summary>
/// <exception cref="ExternalException">Thrown by each method if libtorch rejects the arguments, such as mismatched shapes.</exception>
/// <exception cref="NotSupportedException">Thrown by each method on first use if the loaded libtorch is not 2.10.</exception>
public static class MissingOperators
{
    private static readonly Operator Convolution = new("aten::convolution_backward", results: 3, optional: 3);
    private static readonly Operator BatchNorm = new("aten::native_batch_norm", results: 3, optional: [1, 2, 3, 4]);
    private static readonly Operator BatchNormBackward = new("aten::native_batch_norm_backward", results: 3, optional: [2, 3, 4, 5, 6]);
    private static readonly Operator AveragePool = new("aten::avg_pool2d_backward", results: 1, optional: 7);
    private static readonly Operator MaximumPool = new("aten::max_pool2d_with_indices_backward", results: 1);
    private static readonly Operator Bilinear = new("aten::upsample_bilinear2d_backward", results: 1, optional: [4, 5]);

    private static bool _isChecked;

    /// <summary>The gradients of a convolution with neither dilation nor groups.</summary>
    /// <param name="gradOutput"><c>[N, O, H′, W′]</c>: the gradient with respect to the output.</param>
    /// <param name="input"><c>[N, I, H, W]</c>.</param>
    /// <param name="weight"><c>[O, I, K, K]</c>.</param>
    /// <param name="stride">Vertical and horizontal.</param>
    /// <param name="padding">Vertical and horizontal.</param>
    /// <param name="byInput">Whether to compute the gradient with respect to the input.</param>
    /// <param name="byBias">Whether to compute the gradient with respect to a bias <c>[O]</c>.</param>
    public static (Tensor? ByInput, Tensor ByWeight, Tensor? ByBias) ConvolutionBackward(
        Tensor gradOutput, Tensor input, Tensor weight, long[] stride, long[] padding, bool byInput, bool byBias)
    {
        EnsureChecked();
        long[]? biasShape = byBias ? [weight.shape[0]] : null;
        bool[] needed = [byInput, true, byBias];
        long[] dilation = [1, 1], outputPadding = [0, 0];
        Tensor?[] results = Convolution.Invoke(
            gradOutput, input, weight, biasShape, stride, padding, dilation, false, outputPadding, 1L, needed);
        return (results[0], results[1]!, results[2]);
    }

    /// <summary>Batch norm with batch statistics, which are returned too.</summary>
    /// <param name="input"><c>[N, C]</c> or <c>[N, C, H, W]</c>.</param>
    /// <param name="weight"><c>[C]</c>; null: ones.</param>
    /// <param name="bias"><c>[C]</c>; null: zeros.</param>
    /// <param name="runningMean"><c>[C]</c>, updated towards the mean; or null.</param>
    /// <param name="runningVariance"><c>[C]</c>, updated towards the unbiased variance; or null.</param>
    /// <param name="momentum">The weight of the batch's statistics in the running ones.</param>
    /// <param name="epsilon">The constant added to the variance.</param>
    /// <returns>The output, the mean <c>[C]</c> and 1 / √(variance + epsilon) <c>[C]</c>.</returns>
    public static (Tensor Output, Tensor Mean, Tensor InverseDeviation) NativeBatchNorm(
        Tensor input, Tensor? weight, Tensor? bias, Tensor? runningMean, Tensor? runningVariance, double momentum, double epsilon)
    {
        EnsureChecked();
        RequireVectors(input, weight, bias, runningMean, runningVariance);
        Tensor?[] results = BatchNorm.Invoke(input, weight, bias, runningMean, runningVariance, true, momentum, epsilon);
        return (results[0]!, results[1]!, results[2]!);
    }

    /// <summary>The gradients of <see cref="NativeBatchNorm"/>.</summary>
    /// <param name="gradOutput">The gradient with respect to the output.</param>
    /// <param name="input">The input.</param>
    /// <param name="weight"><c>[C]</c>; null: ones.</param>
    /// <param name="mean"><c>[C]</c>, as <see cref="NativeBatchNorm"/> returned it.</param>
    /// <param name="inverseDeviation"><c>[C]</c>, as <see cref="NativeBatchNorm"/> returned it.</param>
    /// <param name="epsilon">The constant added to the variance.</param>
    /// <param name="byParameters">Whether to compute the gradients with respect to weight and bias.</param>
    public static (Tensor ByInput, Tensor? ByWeight, Tensor? ByBias) NativeBatchNormBackward(
        Tensor gradOutput, Tensor input, Tensor? weight, Tensor mean, Tensor inverseDeviation, double epsilon, bool byParameters)
    {
        EnsureChecked();
        RequireVectors(input, weight, mean, inverseDeviation);
        bool[] needed = [true, byParameters, byParameters];
        Tensor?[] results = BatchNormBackward.Invoke(gradOutput, input, weight, null, null, mean, inverseDeviation, true, epsilon, needed);
        return (results[0]!, results[1], results[2]);
    }

    /// <summary>The gradient of non-overlapping average pooling.</summary>
    /// <param name="gradOutput"><c>[N, C, H / kernel, W / kernel]</c>: the gradient with respect to the output.</param>
    /// <param name="input"><c>[N, C, H, W]</c>.</param>
    /// <param name="kernel">The kernel size.</param>
    public static Tensor AvgPool2dBackward(Tensor gradOutput, Tensor input, long kernel)
    {
        EnsureChecked();
        long[] square = [kernel, kernel];
        return AveragePool.Invoke(gradOutput, input, square, square, new long[] { 0, 0 }, false, true, null)[0]!;
    }

    /// <summary>The gradient of <c>nn.functional.max_pool2d_with_indices</c> without dilation.</summary>
    /// <param name="gradOutput"><c>[N, C, H′, W′]</c>: the gradient with respect to the output.</param>
    /// <param name="input"><c>[N, C, H, W]</c>.</param>
    /// <param name="kernel">Vertical and horizontal.</param>
    /// <param name="stride">Vertical and horizontal.</param>
    /// <param name="padding">Vertical and horizontal.</param>
    /// <param name="indices"><c>[N, C, H′, W′]</c> of int64, into H · W, as the function returned them.</param>
    public static Tensor MaxPool2dWithIndicesBackward(
        Tensor gradOutput, Tensor input, long[] kernel, long[] stride, long[] padding, Tensor indices)
    {
        EnsureChecked();
        return MaximumPool.Invoke(gradOutput, input, kernel, stride, padding, new long[] { 1, 1 }, false, indices)[0]!;
    }

    /// <summary>The gradient of bilinear interpolation with aligned corners.</summary>
    /// <param name="gradOutput"><c>[N, C, H′, W′]</c>: the gradient with respect to the output.</param>
    /// <param name="inputShape">N, C, H, W.</param>
    public static Tensor UpsampleBilinear2dBackward(Tensor gradOutput, long[] inputShape)
    {
        EnsureChecked();
        return Bilinear.Invoke(gradOutput, gradOutput.shape[2..], inputShape, true, null, null)[0]!;
    }

    /// <summary>The batch norm operators do not check lengths themselves, and read past the end of shorter vectors.</summary>
    private static void RequireVectors(Tensor input, params ReadOnlySpan<Tensor?> vectors)
    {
        long channels = input.shape[1];
        foreach (Tensor? vector in vectors)
        {
            if (vector is not null && vector.numel() != channels)
            {
                throw new ArgumentException(
                    $"batch norm of {channels} channels: weight, bias or statistics have {vector.numel()} elements.");
            }
        }
    }

    /// <summary>
    /// Calls each operator once on a few pixels, so a libtorch that lacks one is reported at the first use of any, not in the middle of
    /// training. (A name that is not found also leaks its arguments, which are tiny here.)
    /// </summary>
    private static void EnsureChecked()
    {
        if (_isChecked)
        {
            return;
        }

        _isChecked = true;
        try
        {
            using DisposeScope scope = NewDisposeScope();
            using IDisposable mode = no_grad();
            Tensor image = ones(1, 1, 2, 2), pixel = ones(1, 1, 1, 1), one = ones(1);
            _ = ConvolutionBackward(image, image, pixel, [1, 1], [0, 0], byInput: true, byBias: true);
            _ = NativeBatchNorm(image, one, one, null, null, momentum: 0, epsilon: 1);
            _ = NativeBatchNormBackward(image, image, one, one, one, epsilon: 1, byParameters: true);
            _ = AvgPool2dBackward(pixel, image, kernel: 2);
            _ = MaxPool2dWithIndicesBackward(pixel, image, [2, 2], [2, 2], [0, 0], zeros([1, 1, 1, 1], ScalarType.Int64));
            _ = UpsampleBilinear2dBackward(image, [1, 1, 1, 1]);
        }
        catch
        {
            _isChecked = false;
            throw;
        }
    }
}

using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Backbones.Linearised;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>
/// Batch norm with batch statistics, then ReLU: value, cotangent and tangent. Uses our own kernels if they support the tensors (<see
/// cref="NormReluKernels"/>), otherwise libtorch's operators (<see cref="NormReluOperators"/>), which are also the kernels' reference.
/// </summary>
/// <remarks>
/// Shapes: <c>C</c> channels. <c>saved</c> is <c>[4, C]</c>: mean, 1/deviation, and the scale and shift that give y = relu(z · scale +
/// shift).
/// </remarks>
internal static class NormRelu
{
    /// <summary>Writes y and returns <c>saved</c>; updates the running statistics if given.</summary>
    public static Tensor Forward(
        Tensor z, Tensor weight, Tensor bias, (Tensor Mean, Tensor Variance)? running, double momentum, double epsilon, Tensor y)
    {
        if (!KernelsSupport(z, y))
        {
            return NormReluOperators.Forward(z, weight, bias, running, momentum, epsilon, y);
        }

        Tensor saved = empty([4, z.size(1)], z.dtype);
        NormReluKernels.Forward(z, weight, bias, epsilon, running?.Mean, running?.Variance, momentum, y, saved);
        return saved;
    }

    /// <summary>Recomputes y, bit for bit.</summary>
    public static Tensor Recompute(Tensor z, Tensor saved)
    {
        if (!KernelsSupport(z))
        {
            return NormReluOperators.Recompute(z, saved);
        }

        Tensor y = TensorLayout.Empty(z.Sizes(), z);
        NormReluKernels.Recompute(z, saved, y);
        return y;
    }

    /// <summary>∂/∂z, ∂/∂weight and ∂/∂bias, given g = ∂/∂y.</summary>
    public static (Tensor ByInput, Tensor ByWeight, Tensor ByBias) Cotangent(
        Tensor g, Tensor z, Tensor weight, Tensor saved, double epsilon)
    {
        if (!KernelsSupport(z, g))
        {
            return NormReluOperators.Cotangent(g, z, weight, saved, epsilon);
        }

        (Tensor byInput, Tensor byWeight, Tensor byBias) = (TensorLayout.Empty(z.Sizes(), z), empty_like(weight), empty_like(weight));
        NormReluKernels.Backward(g, z, saved, byInput, byWeight, byBias);
        return (byInput, byWeight, byBias);
    }

    /// <summary>Writes ẏ, given ż as the sum of up to two parts, and the tangents of weight and bias; null: none.</summary>
    public static void Tangent(
        Tensor change, Tensor? more, Tensor z, Tensor weight, Tensor? weightChange, Tensor? biasChange,
        Tensor saved, double epsilon, Tensor y)
    {
        if (!KernelsSupport(z, y, change, more))
        {
            NormReluOperators.Tangent(change, more, z, weight, weightChange, biasChange, saved, epsilon, y);
            return;
        }

        NormReluKernels.Tangent(change, more, z, weightChange, biasChange, saved, y);
    }

    private static bool KernelsSupport(params ReadOnlySpan<Tensor?> tensors)
    {
        foreach (Tensor? tensor in tensors)
        {
            if (tensor is not null && !NormReluKernels.Supports(tensor))
            {
                return false;
            }
        }

        return true;
    }
}

/// <summary>
/// <see cref="NormRelu"/> in libtorch's own operators: any device, element type and layout.
/// </summary>
internal static class NormReluOperators
{
    /// <summary>Writes y and returns <c>saved</c>; updates the running statistics if given.</summary>
    public static Tensor Forward(
        Tensor z, Tensor weight, Tensor bias, (Tensor Mean, Tensor Variance)? running, double momentum, double epsilon, Tensor y)
    {
        (_, Tensor mean, Tensor inverseDeviation) =
            MissingOperators.NativeBatchNorm(z, weight, bias, running?.Mean, running?.Variance, momentum, epsilon);
        Tensor scale = weight.mul(inverseDeviation);
        Tensor saved = stack([mean, inverseDeviation, scale, bias.sub(mean.mul(scale))]);
        y.copy_(Recompute(z, saved));
        return saved;
    }

    /// <inheritdoc cref="NormRelu.Recompute"/>
    public static Tensor Recompute(Tensor z, Tensor saved)
    {
        Tensor y = PreActivation(z, saved).relu();
        return y.dtype == z.dtype ? y : y.to_type(z.dtype);
    }

    /// <summary>∂/∂z, ∂/∂weight and ∂/∂bias, given g = ∂/∂y.</summary>
    public static (Tensor ByInput, Tensor ByWeight, Tensor ByBias) Cotangent(
        Tensor g, Tensor z, Tensor weight, Tensor saved, double epsilon)
    {
        (Tensor byInput, Tensor? byWeight, Tensor? byBias) = Backward(g.mul(Mask(z, saved)), z, weight, saved, epsilon, byParameters: true);
        return (byInput, byWeight!, byBias!);
    }

    /// <summary>Writes ẏ, given ż as the sum of up to two parts, and the tangents of weight and bias; null: none.</summary>
    public static void Tangent(
        Tensor change, Tensor? more, Tensor z, Tensor weight, Tensor? weightChange, Tensor? biasChange,
        Tensor saved, double epsilon, Tensor y)
    {
        // Normalisation has a symmetric Jacobian: batch norm's backward pass applied to ż gives its tangent.
        Tensor tangent = Backward(more is null ? change : change.add(more, One), z, weight, saved, epsilon, byParameters: false).ByInput;
        if (weightChange is not null)
        {
            tangent = tangent.add(z.sub(PerChannel(saved.select(0, 0), z)).mul(PerChannel(saved.select(0, 1).mul(weightChange), z)), One);
        }

        if (biasChange is not null)
        {
            tangent = tangent.add(PerChannel(biasChange, z), One);
        }

        y.copy_(tangent.mul(Mask(z, saved)));
    }

    private static (Tensor ByInput, Tensor? ByWeight, Tensor? ByBias) Backward(
        Tensor g, Tensor z, Tensor weight, Tensor saved, double epsilon, bool byParameters)
        => MissingOperators.NativeBatchNormBackward(g, z, weight, saved.select(0, 0), saved.select(0, 1), epsilon, byParameters);

    /// <summary>1 where ReLU is active, 0 elsewhere.</summary>
    private static Tensor Mask(Tensor z, Tensor saved)
        => PreActivation(z, saved).gt(Held(0)).to_type(z.dtype);

    /// <summary>The input of ReLU, in the precision of <c>saved</c> if the features have a lower one.</summary>
    private static Tensor PreActivation(Tensor z, Tensor saved)
        => z.mul(PerChannel(saved.select(0, 2), z)).add(PerChannel(saved.select(0, 3), z), One);

    private static Tensor PerChannel(Tensor values, Tensor like) => like.ndim == 2 ? values : values.view(-1, 1, 1);
}

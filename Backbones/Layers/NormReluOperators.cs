using Imta.MetaWeight.Backbones.Kernels;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>
/// <see cref="NormRelu"/> in libtorch's own operators: any device, element type and layout.
/// </summary>
internal static class NormReluOperators
{
    /// <summary>Writes y and returns <c>saved</c>; the running statistics move where they are given.</summary>
    public static Tensor Forward(Tensor z, Tensor weight, Tensor bias, (Tensor Mean, Tensor Variance)? running, double momentum, double epsilon, Tensor y)
    {
        (_, Tensor mean, Tensor inverseDeviation) = MissingOperators.NativeBatchNorm(z, weight, bias, running?.Mean, running?.Variance, momentum, epsilon);
        Tensor scale = weight.mul(inverseDeviation);
        Tensor saved = stack([mean, inverseDeviation, scale, bias.sub(mean.mul(scale))]);
        y.copy_(Again(z, saved));
        return saved;
    }

    /// <inheritdoc cref="NormRelu.Again"/>
    public static Tensor Again(Tensor z, Tensor saved)
    {
        Tensor y = Before(z, saved).relu();
        return y.dtype == z.dtype ? y : y.to_type(z.dtype);
    }

    /// <summary>∂/∂z, ∂/∂weight and ∂/∂bias, given g = ∂/∂y.</summary>
    public static (Tensor ByInput, Tensor ByWeight, Tensor ByBias) Cotangent(Tensor g, Tensor z, Tensor weight, Tensor saved, double epsilon)
    {
        (Tensor byInput, Tensor? byWeight, Tensor? byBias) = Backward(g.mul(Mask(z, saved)), z, weight, saved, epsilon, byParameters: true);
        return (byInput, byWeight!, byBias!);
    }

    /// <summary>Writes ẏ, given ż, in up to two parts, and the tangents of weight and bias, or null where they stay.</summary>
    public static void Tangent(Tensor change, Tensor? more, Tensor z, Tensor weight, Tensor? weightChange, Tensor? biasChange, Tensor saved, double epsilon, Tensor y)
    {
        // Normalising has a symmetric Jacobian: batch norm's own backward pass applied to ż is its tangent.
        Tensor tangent = Backward(more is null ? change : change + more, z, weight, saved, epsilon, byParameters: false).ByInput;
        if (weightChange is not null)
        {
            tangent = tangent.add(z.sub(PerChannel(saved.select(0, 0), z)).mul(PerChannel(saved.select(0, 1).mul(weightChange), z)));
        }

        if (biasChange is not null)
        {
            tangent = tangent.add(PerChannel(biasChange, z));
        }

        y.copy_(tangent.mul(Mask(z, saved)));
    }

    private static (Tensor ByInput, Tensor? ByWeight, Tensor? ByBias) Backward(Tensor g, Tensor z, Tensor weight, Tensor saved, double epsilon, bool byParameters)
        => MissingOperators.NativeBatchNormBackward(g, z, weight, saved.select(0, 0), saved.select(0, 1), epsilon, byParameters);

    /// <summary>1 where ReLU lets through, 0 elsewhere.</summary>
    private static Tensor Mask(Tensor z, Tensor saved)
        => Before(z, saved).gt(0).to_type(z.dtype);

    /// <summary>What goes into ReLU; from features of less precision in that of <c>saved</c>.</summary>
    private static Tensor Before(Tensor z, Tensor saved) => z.mul(PerChannel(saved.select(0, 2), z)).add(PerChannel(saved.select(0, 3), z));

    private static Tensor PerChannel(Tensor values, Tensor like) => like.ndim == 2 ? values : values.view(-1, 1, 1);
}

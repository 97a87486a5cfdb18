using Imta.MetaWeight.Native;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>
/// <see cref="NormRelu"/> in libtorch's own operators: any device, element type and layout.
/// </summary>
internal static class NormReluOperators
{
    private static readonly Operator BatchNorm = new("aten::native_batch_norm");
    private static readonly Operator BatchNormBackward = new("aten::native_batch_norm_backward");

    /// <summary>Writes y and returns <c>saved</c>; the running statistics move where they are given.</summary>
    public static Tensor Forward(Tensor z, Tensor weight, Tensor bias, (Tensor Mean, Tensor Variance)? running, double momentum, double epsilon, Tensor y)
    {
        nint[] handles = BatchNorm.InvokeMany(Arg(z), Arg(weight), Arg(bias), Arg(running?.Mean), Arg(running?.Variance), true, momentum, epsilon);
        Tensor[] results = Array.ConvertAll(handles, Tensor.UnsafeCreateTensor);
        Tensor scale = weight.mul(results[2]);
        Tensor saved = stack([results[1], results[2], scale, bias.sub(results[1].mul(scale))]);
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
        Tensor[] results = Backward(g.mul(Mask(z, saved)), z, weight, saved, epsilon, all: true);
        return (results[0], results[1], results[2]);
    }

    /// <summary>Writes ẏ, given ż, in up to two parts, and the tangents of weight and bias, or null where they stay.</summary>
    public static void Tangent(Tensor change, Tensor? more, Tensor z, Tensor weight, Tensor? weightChange, Tensor? biasChange, Tensor saved, double epsilon, Tensor y)
    {
        // Normalising has a symmetric Jacobian: batch norm's own backward pass applied to ż is its tangent.
        Tensor tangent = Backward(more is null ? change : change + more, z, weight, saved, epsilon, all: false)[0];
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

    private static Tensor[] Backward(Tensor g, Tensor z, Tensor weight, Tensor saved, double epsilon, bool all)
    {
        long[] mask = all ? [1, 1, 1] : [1, 0, 0];
        nint[] handles = BatchNormBackward.InvokeMany(
            Arg(g), Arg(z), Arg(weight), Argument.None, Argument.None, Arg(saved.select(0, 0)), Arg(saved.select(0, 1)), true, epsilon, Argument.Bools(mask));
        return Array.ConvertAll(handles, handle => handle == 0 ? null! : Tensor.UnsafeCreateTensor(handle));
    }

    /// <summary>1 where ReLU lets through, 0 elsewhere.</summary>
    private static Tensor Mask(Tensor z, Tensor saved)
        => Before(z, saved).gt(0).to_type(z.dtype);

    /// <summary>What goes into ReLU; from features of less precision in that of <c>saved</c>.</summary>
    private static Tensor Before(Tensor z, Tensor saved) => z.mul(PerChannel(saved.select(0, 2), z)).add(PerChannel(saved.select(0, 3), z));

    private static Tensor PerChannel(Tensor values, Tensor like) => like.ndim == 2 ? values : values.view(-1, 1, 1);

    private static Argument Arg(Tensor? tensor) => tensor is null ? Argument.None : Argument.Tensor(tensor.Handle, tensor);
}

namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>Elements of tensors as arrays.</summary>
internal static class TensorValues
{
    /// <summary>
    /// The elements of a CPU tensor in row-major order; empty for an empty tensor, for which TorchSharp 0.107's accessor throws.
    /// </summary>
    public static T[] ToArray<T>(this Tensor tensor)
        where T : unmanaged
        => tensor.numel() == 0 ? [] : tensor.data<T>().ToArray();
}

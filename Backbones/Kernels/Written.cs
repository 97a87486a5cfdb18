using System.Runtime.CompilerServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>Tells libtorch of tensors that were written behind its back: what autograd may have saved of them holds no longer.</summary>
internal static class Written
{
    /// <summary>
    /// Raises the tensors' version counters, which the interface has no function for: a copy of a tensor to itself does nothing else.
    /// </summary>
    public static void Mark(params ReadOnlySpan<Tensor?> tensors)
    {
        byte mode = StableAbi.aoti_torch_grad_mode_is_enabled();
        StableAbi.aoti_torch_grad_mode_set_enabled(0); // a leaf that requires a gradient may be written too
        foreach (Tensor? tensor in tensors)
        {
            if (tensor is not null)
            {
                StableAbi.Succeed(StableAbi.aoti_torch_copy_(tensor.Handle, tensor.Handle, 0));
            }
        }

        StableAbi.aoti_torch_grad_mode_set_enabled(mode);
        KeepAlive(tensors);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void KeepAlive(ReadOnlySpan<Tensor?> tensors) => _ = tensors;
}

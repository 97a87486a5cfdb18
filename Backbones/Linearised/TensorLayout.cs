using System.Runtime.CompilerServices;
using Imta.MetaWeight.Backbones.Kernels;

namespace Imta.MetaWeight.Backbones.Linearised;

/// <summary>The memory layout of recorded passes: channels last (NHWC), so that features can be written
/// directly into their slice of a wider tensor and convolutions need not reorder their input.</summary>
internal static class TensorLayout
{
    private const int Dimensions = 4;

    /// <summary>An uninitialised tensor with the element type and device of another.</summary>
    public static Tensor Empty(long[] shape, Tensor like) => Empty(shape, like.dtype, like.device);

    /// <summary>An uninitialised tensor.</summary>
    public static Tensor Empty(long[] shape, ScalarType type, Device device)
        => shape is [var n, var c, var h, var w]
            ? Pixels([n, h, w, c], type, device).permute(0, 3, 1, 2)
            : empty(shape, type, device);

    /// <summary>A channel slice of a wider tensor, extended by channels that follow it there.</summary>
    public static Tensor ExtendChannels(Tensor slice, long channels)
    {
        long[] shape = slice.Sizes();
        shape[1] = channels;
        return slice.as_strided(shape, [.. Enumerable.Range(0, shape.Length).Select(d => slice.stride(d))], slice.storage_offset());
    }

    /// <summary>
    /// <c>[N, C, H, W]</c> in channels-last format; a view of the tensor if it already is.
    /// </summary>
    public static Tensor ChannelsLast(Tensor x) => x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2);

    /// <summary>
    /// Compacts rows of a tensor along its first dimension in place: later rows move into gaps among the first ones, which are returned.
    /// </summary>
    /// <param name="x"><c>[N, …]</c>; overwritten.</param>
    /// <param name="gaps">int64: rows among the first <paramref name="size"/> that are not needed.</param>
    /// <param name="sources">int64: as many rows among the others, which take the places of the gaps.</param>
    /// <param name="size">The number of rows in the result.</param>
    public static Tensor CompactRows(Tensor x, Tensor gaps, Tensor sources, long size)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor rows = x.ndim == Dimensions && !x.is_contiguous() ? x.permute(0, 2, 3, 1) : x;
        rows.index_copy_(0, gaps, rows.index_select(0, sources));
        Tensor first = scope.MoveToOuter(x.narrow(0, 0, size));
        ReservedChannels.Move(x, first);
        return first;
    }

    private static Tensor Pixels(long[] shape, ScalarType type, Device device)
        => device.type == DeviceType.CPU ? TensorMemory.Empty(shape, type) : empty(shape, type, device);

    /// <summary>Adds in place; both may be slices of wider tensors.</summary>
    public static void AddTo(Tensor sum, Tensor more)
    {
        if (NormReluKernels.Supports(sum) && NormReluKernels.Supports(more))
        {
            NormReluKernels.AddRows(sum, more);
        }
        else
        {
            _ = sum.add_(more, One);
        }
    }
}

/// <summary>
/// The channels of a wider tensor that follow a slice of it and are not written yet: later features go there.
/// </summary>
internal static class ReservedChannels
{
    private static readonly ConditionalWeakTable<Tensor, StrongBox<long>> Reserved = [];

    /// <summary>Takes the channels after those of a tensor; only one caller can.</summary>
    /// <returns>How many are left after these; null: there were too few.</returns>
    public static long? TryTake(Tensor features, long channels)
    {
        if (!Reserved.TryGetValue(features, out StrongBox<long>? reserved) || reserved.Value < channels)
        {
            return null;
        }

        Reserved.Remove(features);
        return reserved.Value - channels;
    }

    public static void Reserve(Tensor features, long channels) => Reserved.AddOrUpdate(features, new(channels));

    /// <summary>Transfers a tensor's reserved channels to another with the same channels.</summary>
    public static void Move(Tensor from, Tensor to)
    {
        if (Reserved.TryGetValue(from, out StrongBox<long>? reserved))
        {
            Reserved.Remove(from);
            Reserved.AddOrUpdate(to, reserved);
        }
    }
}

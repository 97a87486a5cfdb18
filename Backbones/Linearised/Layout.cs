using System.Runtime.CompilerServices;
using Imta.MetaWeight.Backbones.Kernels;

namespace Imta.MetaWeight.Backbones.Linearised;

/// <summary>How recorded passes lay out their tensors: the channels of a pixel beside each other (NHWC), so that features can be written
/// straight into their slice of a wider tensor and no convolution reorders its input.</summary>
internal static class Layout
{
    private const int Dimensions = 4;

    /// <summary>A tensor whose values are not set, of the type and device of another.</summary>
    public static Tensor Empty(long[] shape, Tensor like) => Empty(shape, like.dtype, like.device);

    /// <summary>A tensor whose values are not set.</summary>
    public static Tensor Empty(long[] shape, ScalarType type, Device device)
        => shape is [var n, var c, var h, var w]
            ? Pixels([n, h, w, c], type, device).permute(0, 3, 1, 2)
            : empty(shape, type, device);

    /// <summary>A slice of the channels of a wider tensor with more of the channels that come after it there.</summary>
    public static Tensor Widened(Tensor slice, long channels)
    {
        long[] shape = slice.shape;
        shape[1] = channels;
        return slice.as_strided(shape, slice.stride(), slice.storage_offset());
    }

    /// <summary>
    /// <c>[N, C, H, W]</c> with the channels of a pixel beside each other; the tensor's own memory where it is so already.
    /// </summary>
    public static Tensor ChannelsLast(Tensor x) => x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2);

    /// <summary>
    /// Some rows of a tensor along its first dimension, in place: a few move into gaps between the first ones, which are the result.
    /// </summary>
    /// <param name="x"><c>[N, …]</c>; overwritten.</param>
    /// <param name="gaps">int64: rows among the first <paramref name="size"/> that are not needed.</param>
    /// <param name="wanted">int64: as many rows among the others, which take the places of the gaps.</param>
    /// <param name="size">Rows of the result.</param>
    public static Tensor CompactRows(Tensor x, Tensor gaps, Tensor wanted, long size)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor rows = x.ndim == Dimensions && !x.is_contiguous() ? x.permute(0, 2, 3, 1) : x;
        rows.index_copy_(0, gaps, rows.index_select(0, wanted));
        Tensor first = scope.MoveToOuter(x.narrow(0, 0, size));
        FeatureRoom.Move(x, first);
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
            _ = sum.add_(more);
        }
    }
}

/// <summary>
/// Channels of a wider tensor after those of one of its slices that are not written yet: later features go there.
/// </summary>
internal static class FeatureRoom
{
    private static readonly ConditionalWeakTable<Tensor, StrongBox<long>> Rooms = [];

    /// <summary>Takes channels after those of a tensor, which only one can.</summary>
    /// <returns>How many are left after these; null: there are not as many.</returns>
    public static long? Take(Tensor features, long channels)
    {
        if (!Rooms.TryGetValue(features, out StrongBox<long>? room) || room.Value < channels)
        {
            return null;
        }

        Rooms.Remove(features);
        return room.Value - channels;
    }

    public static void Leave(Tensor features, long channels) => Rooms.AddOrUpdate(features, new(channels));

    /// <summary>Gives a tensor's room to another that has the same channels.</summary>
    public static void Move(Tensor from, Tensor to)
    {
        if (Rooms.TryGetValue(from, out StrongBox<long>? room))
        {
            Rooms.Remove(from);
            Rooms.AddOrUpdate(to, room);
        }
    }
}

using System.Numerics;
using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Native;

/// <summary>
/// Operations on the handle of a tensor: a pointer to a heap-allocated <c>at::Tensor</c>, as <c>Tensor.Handle</c> of TorchSharp
/// is. A handle that a method returns belongs to the caller, who frees it; 0 stands for an undefined tensor.
/// </summary>
public static unsafe class TensorHandle
{
    /// <summary>Handles that were handed out and not yet freed, in the whole process.</summary>
    public static long Live => NativeMethods.TensorLive();

    /// <summary>Frees a handle; the tensor itself goes when nothing refers to it any more.</summary>
    public static void Free(nint handle) => NativeMethods.TensorFree(handle);

    /// <summary>A new CPU tensor that holds a copy of <paramref name="data"/>, laid out row by row.</summary>
    /// <param name="data">The elements' bytes.</param>
    /// <param name="sizes">The shape.</param>
    /// <param name="scalarType">libtorch's number of the element type.</param>
    /// <param name="elementSize">Bytes of one element.</param>
    /// <exception cref="ArgumentException">The bytes are not as many as the shape needs, or a size is negative.</exception>
    /// <exception cref="ExternalException">libtorch refused, or has no such element type of this size.</exception>
    public static nint FromMemory(ReadOnlySpan<byte> data, ReadOnlySpan<long> sizes, int scalarType, int elementSize)
    {
        // Before libtorch allocates; the product of the sizes may exceed 64 bits.
        BigInteger needed = elementSize;
        foreach (long size in sizes)
        {
            needed *= size;
        }

        if (needed != data.Length || sizes.ContainsAnyInRange(long.MinValue, -1))
        {
            string shape = string.Join(", ", sizes.ToArray());
            throw new ArgumentException($"a tensor of shape [{shape}] takes {needed} bytes, not {data.Length}.", nameof(data));
        }

        fixed (byte* bytes = data)
        fixed (long* dimensions = sizes)
        {
            return Checked(NativeMethods.TensorFromMemory(bytes, data.Length, dimensions, sizes.Length, scalarType));
        }
    }

    /// <summary>Type, device and size.</summary>
    public static TensorDescription Describe(nint handle)
    {
        TensorDescription description;
        Runtime.Check(NativeMethods.TensorDescribe(handle, &description));
        return description;
    }

    /// <summary>The size of each dimension.</summary>
    public static long[] Sizes(nint handle)
    {
        var sizes = new long[Describe(handle).Dimensions];
        fixed (long* pointer = sizes)
        {
            Runtime.Check(NativeMethods.TensorSizes(handle, pointer, null));
        }

        return sizes;
    }

    /// <summary>The stride of each dimension, in elements.</summary>
    public static long[] Strides(nint handle)
    {
        var strides = new long[Describe(handle).Dimensions];
        fixed (long* pointer = strides)
        {
            Runtime.Check(NativeMethods.TensorSizes(handle, null, pointer));
        }

        return strides;
    }

    /// <summary>Where the elements lie, valid while the tensor lives; 0 where there are none.</summary>
    public static nint Data(nint handle)
    {
        void* data;
        Runtime.Check(NativeMethods.TensorData(handle, &data));
        return (nint)data;
    }

    /// <summary>Whether the elements lie row by row without gaps.</summary>
    public static bool IsContiguous(nint handle) => Runtime.Check(NativeMethods.TensorIsContiguous(handle)) != 0;

    /// <summary>The value of a tensor with one element, as an integer or a real number; waits for the device.</summary>
    public static (bool IsReal, long Integer, double Real) Item(nint handle)
    {
        long integer = 0;
        double real = 0;
        bool isReal = Runtime.Check(NativeMethods.TensorItem(handle, &integer, &real)) != 0;
        return (isReal, integer, real);
    }

    /// <summary>Makes a leaf take part in differentiation, or not.</summary>
    public static void SetRequiresGrad(nint handle, bool requiresGrad) => Runtime.Check(NativeMethods.TensorSetRequiresGrad(handle, requiresGrad ? 1 : 0));

    /// <summary>A handle of the gradient that backward left, or 0.</summary>
    public static nint Grad(nint handle)
    {
        nint grad;
        Runtime.Check(NativeMethods.TensorGrad(handle, &grad));
        return grad;
    }

    /// <summary>Replaces the gradient; 0 removes it.</summary>
    public static void SetGrad(nint handle, nint grad) => Runtime.Check(NativeMethods.TensorSetGrad(handle, grad));

    /// <summary>Another handle of the same tensor.</summary>
    public static nint Share(nint handle) => Checked(NativeMethods.TensorShare(handle));

    /// <summary>The gradients of <paramref name="outputs"/> by <paramref name="inputs"/>; 0 for an input that no output depends on.</summary>
    /// <param name="outputs">What is differentiated.</param>
    /// <param name="gradOutputs">A weight for each output, of its shape; null: ones, for outputs of one element.</param>
    /// <param name="inputs">By what.</param>
    /// <param name="retainGraph">Keep the graph for another call.</param>
    /// <param name="createGraph">Record the gradients' own computation.</param>
    /// <param name="allowUnused">An input without influence is no error.</param>
    public static nint[] Gradients(ReadOnlySpan<nint> outputs, nint[]? gradOutputs, ReadOnlySpan<nint> inputs, bool retainGraph, bool createGraph, bool allowUnused)
    {
        CheckWeights(outputs, gradOutputs);
        var results = new nint[inputs.Length];
        fixed (nint* o = outputs, g = gradOutputs, i = inputs, r = results)
        {
            Runtime.Check(NativeMethods.AutogradGrad(o, gradOutputs is null ? null : g, outputs.Length, i, inputs.Length, retainGraph ? 1 : 0, createGraph ? 1 : 0, allowUnused ? 1 : 0, r));
        }

        return results;
    }

    /// <summary>Adds the gradients of <paramref name="outputs"/> to the leaves' own (all leaves, or only <paramref name="inputs"/>).</summary>
    public static void Backward(ReadOnlySpan<nint> outputs, nint[]? gradOutputs, ReadOnlySpan<nint> inputs, bool retainGraph, bool createGraph)
    {
        CheckWeights(outputs, gradOutputs);
        fixed (nint* o = outputs, g = gradOutputs, i = inputs)
        {
            Runtime.Check(NativeMethods.AutogradBackward(o, gradOutputs is null ? null : g, outputs.Length, i, inputs.Length, retainGraph ? 1 : 0, createGraph ? 1 : 0));
        }
    }

    private static void CheckWeights(ReadOnlySpan<nint> outputs, nint[]? gradOutputs)
    {
        if (gradOutputs is not null && gradOutputs.Length != outputs.Length)
        {
            throw new ArgumentException($"{outputs.Length} outputs take as many weights, not {gradOutputs.Length}.", nameof(gradOutputs));
        }
    }

    private static nint Checked(nint handle) => handle != 0 ? handle : throw Runtime.LastError();
}

/// <summary>The type, place and size of a tensor; the layout of <c>Description</c> in <c>tensor.cpp</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
public readonly struct TensorDescription
{
    /// <summary>The number of dimensions.</summary>
    public readonly long Dimensions;

    /// <summary>The number of elements.</summary>
    public readonly long Elements;

    /// <summary>Where the first element lies in the storage, in elements.</summary>
    public readonly long StorageOffset;

    /// <summary>libtorch's number of the element type.</summary>
    public readonly int ScalarType;

    /// <summary>Bytes of one element.</summary>
    public readonly int ElementSize;

    /// <summary>libtorch's number of the device type.</summary>
    public readonly int DeviceType;

    /// <summary>The device's index; −1 on the CPU.</summary>
    public readonly int DeviceIndex;

    private readonly int _requiresGrad;
    private readonly int _isLeaf;

    /// <summary>Whether operations on it are recorded.</summary>
    public bool RequiresGrad => _requiresGrad != 0;

    /// <summary>Whether it is no result of a recorded operation.</summary>
    public bool IsLeaf => _isLeaf != 0;
}

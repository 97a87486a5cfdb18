using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Imta.MetaWeight.Native;

namespace TorchSharp;

// Tensors from nothing, from .NET's memory, and from other tensors.
public static partial class torch
{
    public static string __version__ => Runtime.TorchVersion;

    public static void set_num_threads(int num) => Runtime.Threads = num;

    public static int get_num_threads() => Runtime.Threads;

    public static Tensor empty(long[] size, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null)
        => Leaf(Aten.Empty.Invoke(size, Type(dtype), Argument.None, Place(device)), requires_grad);

    public static Tensor full(long[] size, Scalar value, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null)
        => Leaf(Aten.Full.Invoke(size, value.Arg, Type(dtype), Argument.None, Place(device)), requires_grad);

    public static Tensor zeros(long[] size, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null)
        => full(size, 0L, dtype, device, requires_grad);

    public static Tensor zeros(long size, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null)
        => zeros([size], dtype, device, requires_grad);

    public static Tensor zeros(long rows, long columns, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null)
        => zeros([rows, columns], dtype, device, requires_grad);

    public static Tensor ones(long[] size, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null)
        => full(size, 1L, dtype, device, requires_grad);

    public static Tensor ones(long size, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null)
        => ones([size], dtype, device, requires_grad);

    public static Tensor zeros_like(Tensor input, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null)
        => zeros(input.shape, dtype ?? input.dtype, device ?? input.device, requires_grad);

    public static Tensor ones_like(Tensor input, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null)
        => ones(input.shape, dtype ?? input.dtype, device ?? input.device, requires_grad);

    public static Tensor empty_like(Tensor input, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null)
        => empty(input.shape, dtype ?? input.dtype, device ?? input.device, requires_grad);

    public static Tensor arange(Scalar start, Scalar stop, Scalar step, ScalarType? dtype = null, Device? device = null, bool requires_grad = false)
        => Leaf(Aten.Arange.Invoke(start.Arg, stop.Arg, step.Arg, Arg(dtype), Argument.None, Place(device)), requires_grad);

    public static Tensor arange(Scalar start, Scalar stop, ScalarType? dtype = null, Device? device = null, bool requires_grad = false)
        => arange(start, stop, 1L, dtype, device, requires_grad);

    public static Tensor arange(Scalar stop, ScalarType? dtype = null, Device? device = null, bool requires_grad = false)
        => arange(0L, stop, 1L, dtype, device, requires_grad);

    public static Tensor rand(long[] size, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, Generator? generator = null, string[]? names = null)
        => Leaf(Aten.RandGenerator.Invoke(size, Random(generator), Type(dtype), Argument.None, Place(device)), requires_grad);

    public static Tensor randn(long[] size, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, Generator? generator = null, string[]? names = null)
        => Leaf(Aten.RandnGenerator.Invoke(size, Random(generator), Type(dtype), Argument.None, Place(device)), requires_grad);

    public static Tensor randint(long low, long high, long[] size, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, Generator? generator = null, string[]? names = null)
        => Leaf(Aten.RandintGenerator.Invoke(low, high, size, Random(generator), (long)(dtype ?? ScalarType.Int64), Argument.None, Place(device)), requires_grad);

    public static Tensor randint(long high, long[] size, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, Generator? generator = null, string[]? names = null)
        => randint(0, high, size, dtype, device, requires_grad, generator);

    public static Tensor randperm(long n, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, Generator? generator = null)
        => Leaf(Aten.RandpermGenerator.Invoke(n, Random(generator), (long)(dtype ?? ScalarType.Int64), Argument.None, Place(device)), requires_grad);

    public static Tensor tensor(float[] rawArray, ReadOnlySpan<long> dimensions, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null)
        => FromMemory<float>(rawArray, dimensions, ScalarType.Float32, dtype, device, requires_grad);

    public static Tensor tensor(double[] rawArray, ReadOnlySpan<long> dimensions, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null)
        => FromMemory<double>(rawArray, dimensions, ScalarType.Float64, dtype, device, requires_grad);

    public static Tensor tensor(long[] dataArray, ReadOnlySpan<long> dimensions, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null)
        => FromMemory<long>(dataArray, dimensions, ScalarType.Int64, dtype, device, requires_grad);

    public static Tensor tensor(byte[] rawArray, ReadOnlySpan<long> dimensions, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null)
        => FromMemory<byte>(rawArray, dimensions, ScalarType.Byte, dtype, device, requires_grad);

    public static Tensor tensor(float[] rawArray, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null)
        => tensor(rawArray, [rawArray.LongLength], dtype, device, requires_grad);

    public static Tensor tensor(double[] rawArray, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null)
        => tensor(rawArray, [rawArray.LongLength], dtype, device, requires_grad);

    public static Tensor tensor(long[] dataArray, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null)
        => tensor(dataArray, [dataArray.LongLength], dtype, device, requires_grad);

    public static Tensor tensor(byte[] rawArray, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null)
        => tensor(rawArray, [rawArray.LongLength], dtype, device, requires_grad);

    public static Tensor tensor(double scalar, ScalarType? dtype = null, Device? device = null, bool requires_grad = false)
        => full([], scalar, dtype ?? ScalarType.Float64, device, requires_grad);

    public static Tensor tensor(float scalar, Device? device = null, bool requires_grad = false)
        => full([], scalar, ScalarType.Float32, device, requires_grad);

    public static Tensor tensor(long scalar, ScalarType? dtype = null, Device? device = null, bool requires_grad = false)
        => full([], scalar, dtype ?? ScalarType.Int64, device, requires_grad);

    public static Tensor cat(Tensor[] tensors, long dim = 0) => Join(Aten.Cat, tensors, dim);

    public static Tensor cat(IList<Tensor> tensors, long dim = 0) => Join(Aten.Cat, tensors, dim);

    public static Tensor stack(IEnumerable<Tensor> tensors, long dim = 0) => Join(Aten.Stack, [.. tensors], dim);

    public static Tensor where(Tensor condition, Tensor x, Tensor y) => new(Aten.Where.Invoke(condition.Arg, x.Arg, y.Arg));

    private static Tensor Join(Operator op, IList<Tensor> tensors, long dim)
    {
        var joined = new Tensor(op.Invoke(Argument.Tensors(Handles(tensors)), dim));
        GC.KeepAlive(tensors);
        return joined;
    }

    private static Tensor FromMemory<T>(ReadOnlySpan<T> data, ReadOnlySpan<long> dimensions, ScalarType own, ScalarType? wanted, Device? device, bool requiresGrad)
        where T : unmanaged
    {
        var tensor = new Tensor(TensorHandle.FromMemory(MemoryMarshal.AsBytes(data), dimensions, (int)own, Unsafe.SizeOf<T>()));
        if (wanted is { } type && type != own)
        {
            tensor = tensor.to(type, disposeAfter: true);
        }

        if (device is { type: not DeviceType.CPU })
        {
            tensor = tensor.to(device, disposeAfter: true, non_blocking: true); // the driver takes a copy of pageable memory before it returns
        }

        return requiresGrad ? tensor.requires_grad_() : tensor;
    }

    private static Tensor Leaf(nint handle, bool requiresGrad)
    {
        var tensor = new Tensor(handle);
        return requiresGrad ? tensor.requires_grad_() : tensor;
    }

    private static Argument Type(ScalarType? dtype) => (long)(dtype ?? ScalarType.Float32);

    private static Argument Place(Device? device) => (device ?? CPU).Arg;

    private static Argument Random(Generator? generator) => generator?.Arg ?? Argument.None;
}

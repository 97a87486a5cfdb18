using System.Runtime.InteropServices;

namespace TorchSharp.Utils;

/// <summary>A tensor's elements as values of .NET, row by row.</summary>
/// <typeparam name="T">The element type's .NET type.</typeparam>
public sealed class TensorAccessor<T> : IEnumerable<T>, System.Collections.IEnumerable, IDisposable
    where T : unmanaged
{
    private readonly torch.Tensor _tensor;

    internal TensorAccessor(torch.Tensor tensor) => _tensor = tensor;

    public long Count => _tensor.NumberOfElements;

    public T[] ToArray()
    {
        using torch.Tensor rows = _tensor.detach();
        using torch.Tensor dense = rows.contiguous();
        using torch.Tensor here = dense.cpu();
        return MemoryMarshal.Cast<byte, T>(here.bytes).ToArray();
    }

    public IEnumerator<T> GetEnumerator() => ((IEnumerable<T>)ToArray()).GetEnumerator();

    System.Collections.IEnumerator System.Collections.IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>The tensor belongs to its own owner: nothing to free.</summary>
    public void Dispose()
    {
    }
}

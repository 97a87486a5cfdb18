namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>Rows whose channels lie side by side; a row starts <paramref name="stride"/> elements after the one before.</summary>
internal readonly unsafe struct Rows<T>(T* data, long stride)
    where T : unmanaged
{
    public T* Data { get; } = data;

    public long Stride { get; } = stride;
}

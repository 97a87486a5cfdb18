namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>The batch's statistics of each channel and what follows from them, <c>[C]</c> each.</summary>
internal readonly unsafe struct Saved<T>(T* data, long channels)
    where T : unmanaged
{
    public T* Mean { get; } = data;

    /// <summary>1 / √(variance + ε).</summary>
    public T* InverseDeviation { get; } = data + channels;

    public T* Scale { get; } = data + (2 * channels);

    public T* Shift { get; } = data + (3 * channels);
}

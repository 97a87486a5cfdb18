namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// The weights of a convolution in the order in which tiles read them, kept from pass to pass: for few images, packing takes as long as
/// multiplying. Valid while weight and bias do not change.
/// </summary>
internal sealed unsafe class PackedWeights : IDisposable
{
    private void* _panels;
    private (long Pixels, long Bytes) _layout;

    /// <summary>Whether the weights are in the memory that <see cref="For"/> last returned; set by the code that packs them.</summary>
    public bool ArePacked { get; set; }

    /// <summary>Memory for the weights of a part.</summary>
    /// <param name="pixels">Pixels per window, which depend on the images' width.</param>
    /// <param name="bytes">The size.</param>
    public void* For(long pixels, nint bytes)
    {
        if (_panels == null || _layout != (pixels, bytes))
        {
            Release();
            _panels = TensorMemory.Rent(bytes);
            _layout = (pixels, bytes);
        }

        return _panels;
    }

    ~PackedWeights() => Release();

    /// <inheritdoc/>
    public void Dispose()
    {
        Release();
        GC.SuppressFinalize(this);
    }

    private void Release()
    {
        if (_panels != null)
        {
            TensorMemory.Return(_panels);
            _panels = null;
        }

        ArePacked = false;
    }
}

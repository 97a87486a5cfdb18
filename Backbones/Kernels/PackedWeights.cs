namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// The weights of a convolution in the order in which tiles read them, kept from pass to pass: for few images packing takes as long as
/// multiplying. Valid while weight and bias stay as they are.
/// </summary>
internal sealed unsafe class PackedWeights : IDisposable
{
    private void* _panels;
    private (long Pixels, long Bytes) _layout;

    /// <summary>Memory for the weights of a part.</summary>
    /// <param name="pixels">Pixels per window, which depend on the images' width.</param>
    /// <param name="bytes">The size.</param>
    /// <param name="arePacked">Whether they are there already; if not, the caller packs them.</param>
    public void* For(long pixels, nint bytes, out bool arePacked)
    {
        arePacked = _panels != null && _layout == (pixels, bytes);
        if (!arePacked)
        {
            Dispose();
            _panels = TensorMemory.Rent(bytes);
            _layout = (pixels, bytes);
        }

        return _panels;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_panels != null)
        {
            TensorMemory.Return(_panels);
            _panels = null;
        }
    }
}


namespace Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

/// <summary>
/// Copies tensor elements to and from streams in chunks: a span is limited to 2 GB, and streams buffer what they are given.
/// </summary>
internal static class TensorElements
{
    private const long ChunkElements = 1 << 20;

    /// <summary>Writes a tensor in row-major order, from any device.</summary>
    public static void Write(Stream stream, Tensor tensor)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor rows = tensor.detach().cpu().contiguous().view(-1);
        for (long start = 0; start < rows.NumberOfElements; start += ChunkElements)
        {
            using Tensor piece = rows.narrow(0, start, Math.Min(ChunkElements, rows.NumberOfElements - start));
            stream.Write(piece.bytes);
        }
    }

    /// <summary>
    /// Reads elements as a one-dimensional tensor. Booleans are kept as bytes: a file may contain values other than 0 and 1.
    /// </summary>
    /// <exception cref="EndOfStreamException">The stream has fewer.</exception>
    public static Tensor Read(Stream stream, long count, ScalarType type)
    {
        Tensor elements = empty([count], type == ScalarType.Bool ? ScalarType.Byte : type);
        for (long start = 0; start < count; start += ChunkElements)
        {
            using Tensor piece = elements.narrow(0, start, Math.Min(ChunkElements, count - start));
            stream.ReadExactly(piece.bytes);
        }

        return elements;
    }
}

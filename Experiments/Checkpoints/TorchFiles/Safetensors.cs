using System.Buffers.Binary;

namespace Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

/// <summary>
/// Reads and writes safetensors files: the header's length (8 bytes, little-endian), the header (JSON), the tensors' elements in row-major
/// order.
/// </summary>
internal static class Safetensors
{
    /// <inheritdoc cref="Read(Stream)"/>
    /// <param name="path">The file.</param>
    /// <exception cref="IOException">The file cannot be opened.</exception>
    public static TorchDictionary Read(string path)
    {
        using FileStream stream = File.OpenRead(path);
        return Read(stream);
    }

    /// <summary>
    /// Reads tensors by name: contiguous CPU tensors without requires_grad in the current dispose scope, or opaque values where elements
    /// are of a type that is not read. Metadata is ignored.
    /// </summary>
    /// <param name="stream">The complete file as a seekable stream; it is read from its first byte regardless of its position.</param>
    /// <exception cref="InvalidDataException">
    /// Not a safetensors file, damaged, a name longer than 1024 characters, or inconsistent sizes. No tensor is leaked.
    /// </exception>
    public static TorchDictionary Read(Stream stream)
    {
        try
        {
            return Tensors(stream);
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException)
        {
            throw new InvalidDataException($"{FormatGuard.Name(stream)} is not a readable safetensors file: {e.Message}", e);
        }
    }

    /// <inheritdoc cref="Write(Stream, IReadOnlyDictionary{string, Tensor})"/>
    /// <summary>Writes a file atomically with <see cref="AtomicFile"/>: whatever happens, a complete file exists.</summary>
    /// <param name="path">The file.</param>
    /// <param name="tensors">The tensors.</param>
    public static void Write(string path, IReadOnlyDictionary<string, Tensor> tensors)
        => AtomicFile.Write(path, stream => Write(stream, tensors));

    /// <summary>
    /// Writes named tensors in row-major order, from any device, in the order of the reference implementation: by element type, the widest
    /// first, then by name. Equal contents produce identical bytes.
    /// </summary>
    /// <param name="stream">The target; nothing is written if a tensor cannot be.</param>
    /// <param name="tensors">The tensors.</param>
    /// <exception cref="ArgumentException"> An element type that the format does not support, or content beyond the reader's limits: names
    /// over 1024 characters or not representable in UTF-8, over 32 dimensions, a header over 100 MB; or a tensor named <c>__metadata__</c>.
    /// </exception>
    public static void Write(Stream stream, IReadOnlyDictionary<string, Tensor> tensors)
    {
        (byte[] header, string[] order) = Header(tensors);
        Span<byte> length = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(length, header.LongLength);
        stream.Write(length);
        stream.Write(header);
        foreach (string name in order)
        {
            TensorElements.Write(stream, tensors[name]);
        }
    }

    private static TorchDictionary Tensors(Stream stream)
    {
        const int LengthBytes = sizeof(long);
        stream.Position = 0;
        Span<byte> bytes = stackalloc byte[LengthBytes];
        stream.ReadExactly(bytes);
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(bytes);
        if (length > SafetensorsHeader.MaxLength)
        {
            throw new InvalidDataException(FileSignature.Describe(stream));
        }

        if ((long)length > stream.Length - LengthBytes)
        {
            throw new InvalidDataException(
                $"its header would have {length} bytes, but the file has {stream.Length}; {FormatGuard.Incomplete}");
        }

        // A header entry takes at least 50 bytes of the file, so its memory cost is bounded by the file's length.
        long start = LengthBytes + (long)length;
        var entries = SafetensorsHeader.Read(Header(stream, (int)length), stream.Length - start);
        using DisposeScope scope = NewDisposeScope();
        TorchDictionary tensors = new();
        foreach (SafetensorsEntry entry in entries)
        {
            stream.Position = start + entry.Begin;
            tensors[entry.Name] = entry.Type is { } type ? Tensor(stream, entry, type) : new TorchOpaque("safetensors", entry.TypeName);
        }

        foreach (TorchTensor tensor in tensors.Parts.OfType<TorchTensor>())
        {
            tensor.Value.MoveToOuterDisposeScope();
        }

        return tensors;
    }

    private static byte[] Header(Stream stream, int length)
    {
        byte[] header = new byte[length];
        stream.ReadExactly(header);
        return header;
    }

    private static Tensor Tensor(Stream stream, SafetensorsEntry entry, ScalarType type)
    {
        long count = (entry.End - entry.Begin) / SafetensorsHeader.TypeOf(type).Size;
        Tensor elements = TensorElements.Read(stream, count, type).view(entry.Shape);
        return type == ScalarType.Bool ? elements.to_type(ScalarType.Bool) : elements;
    }

    /// <summary>The header, and the names in the order of their elements.</summary>
    private static (byte[] Json, string[] Order) Header(IReadOnlyDictionary<string, Tensor> tensors)
    {
        ScalarType[] types = [.. SafetensorsHeader.Types.Select(known => known.Type)];
        string[] order =
        [
            .. tensors.Keys.OrderBy(name => Array.IndexOf(types, tensors[name].dtype)).ThenBy(name => name, StringComparer.Ordinal),
        ];
        List<SafetensorsEntry> entries = [];
        long end = 0;
        foreach (string name in order)
        {
            Tensor tensor = tensors[name];
            (string? type, _, int size) = SafetensorsHeader.TypeOf(tensor.dtype);
            if (type is null || name == SafetensorsHeader.Metadata)
            {
                throw new ArgumentException(
                    $"{name} has elements of type {tensor.dtype}, or a name, that cannot be written.", nameof(tensors));
            }

            entries.Add(new SafetensorsEntry(name, type, tensor.shape, end, end + tensor.NumberOfElements * size));
            end = entries[^1].End;
        }

        try
        {
            // Nothing beyond the reader's limits may be written.
            byte[] json = SafetensorsHeader.Write(entries);
            SafetensorsHeader.Read(json, end);
            return json.LongLength <= SafetensorsHeader.MaxLength
                ? (json, order)
                : throw new InvalidDataException("the header has more than 100 MB");
        }
        catch (InvalidDataException e)
        {
            throw new ArgumentException($"The tensors could not be read back: {e.Message}.", nameof(tensors), e);
        }
    }
}

/// <summary>A tensor of a safetensors file.</summary>
/// <param name="Name">Its name.</param>
/// <param name="TypeName">The format's name of its element type.</param>
/// <param name="Shape">The shape.</param>
/// <param name="Begin">The offset of its first byte, from the end of the header.</param>
/// <param name="End">The offset after its last byte.</param>
internal sealed record SafetensorsEntry(string Name, string TypeName, long[] Shape, long Begin, long End)
{
    /// <summary>The element type; null: it is not read.</summary>
    public ScalarType? Type => SafetensorsHeader.Types.Where(known => known.Name == TypeName)
        .Select(known => (ScalarType?)known.Type).SingleOrDefault();
}

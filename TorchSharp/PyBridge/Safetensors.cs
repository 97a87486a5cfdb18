using System.Buffers.Binary;
using static TorchSharp.torch;

namespace TorchSharp.PyBridge;

/// <summary>
/// Reads and writes safetensors files: the header's length (8 bytes, little-endian), the header (JSON), the tensors' elements row by row.
/// </summary>
public static class Safetensors
{
    /// <inheritdoc cref="LoadStateDict(Stream, bool, List{string})"/>
    /// <param name="path">The file.</param>
    /// <param name="keysToKeep">The names to read; null: all. Names that the file does not have are passed over.</param>
    /// <exception cref="IOException">The file cannot be opened.</exception>
    public static Dictionary<string, Tensor> LoadStateDict(string path, List<string>? keysToKeep = null)
    {
        using FileStream stream = File.OpenRead(path);
        return LoadStateDict(stream, leaveOpen: true, keysToKeep);
    }

    /// <summary>Reads tensors by name: contiguous CPU tensors without requires_grad in the current dispose scope. Metadata are passed over.</summary>
    /// <param name="stream">The file, whole: wherever the stream stands, it is read from its first byte.</param>
    /// <param name="leaveOpen">Whether the stream stays open, also after an error.</param>
    /// <param name="keysToKeep">The names to read; null: all. Names that the file does not have are passed over.</param>
    /// <exception cref="InvalidDataException">
    /// No such file, damaged, an element type that cannot be read, a name of over 1024 characters, or sizes that do not agree. No tensor
    /// is left behind.
    /// </exception>
    public static Dictionary<string, Tensor> LoadStateDict(Stream stream, bool leaveOpen = false, List<string>? keysToKeep = null)
    {
        try
        {
            return Read(SeekableStream.Of(stream), keysToKeep?.ToHashSet());
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException)
        {
            throw new InvalidDataException($"{SeekableStream.Name(stream)} is no readable safetensors file: {e.Message}", e);
        }
        finally
        {
            if (!leaveOpen)
            {
                stream.Dispose();
            }
        }
    }

    /// <inheritdoc cref="SaveStateDict(Stream, Dictionary{string, Tensor}, bool)"/>
    /// <param name="path">The file, which is created or replaced; it is not touched when a tensor cannot be written.</param>
    /// <param name="stateDict">The tensors.</param>
    public static void SaveStateDict(string path, Dictionary<string, Tensor> stateDict)
    {
        var header = Header(stateDict);
        using FileStream stream = File.Create(path);
        Write(stream, header.Json, header.Order, stateDict);
    }

    /// <summary>
    /// Writes tensors by name, row by row, from any device, in the order of the reference implementation: by element type, the widest
    /// first, then by name. The same content gives the same bytes.
    /// </summary>
    /// <param name="stream">Where to; nothing is written when a tensor cannot be.</param>
    /// <param name="stateDict">The tensors.</param>
    /// <param name="leaveOpen">Whether the stream stays open, also after an error.</param>
    /// <exception cref="ArgumentException">
    /// An element type that the format does not have, or more than the reader accepts: names over 1024 characters or that no UTF-8 can
    /// say, over 32 dimensions, a header over 100 MB; or a tensor named <c>__metadata__</c>.
    /// </exception>
    public static void SaveStateDict(Stream stream, Dictionary<string, Tensor> stateDict, bool leaveOpen = false)
    {
        try
        {
            var header = Header(stateDict);
            Write(stream, header.Json, header.Order, stateDict);
        }
        finally
        {
            if (!leaveOpen)
            {
                stream.Dispose();
            }
        }
    }

    private static Dictionary<string, Tensor> Read(Stream stream, HashSet<string>? keep)
    {
        const int LengthBytes = sizeof(long);
        stream.Position = 0;
        Span<byte> bytes = stackalloc byte[LengthBytes];
        stream.ReadExactly(bytes);
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(bytes);
        if (length > SafetensorsHeader.Longest || (long)length > stream.Length - LengthBytes)
        {
            throw new InvalidDataException($"its header would have {length} bytes; the file has {stream.Length}, and {SafetensorsHeader.Longest} are accepted");
        }

        // The spelling of a tensor takes 50 bytes of the file and more: what it costs in memory is bounded by the file's length.
        long start = LengthBytes + (long)length;
        var entries = SafetensorsHeader.Read(Header(stream, (int)length), stream.Length - start);
        using DisposeScope scope = NewDisposeScope();
        Dictionary<string, Tensor> tensors = [];
        foreach (SafetensorsEntry entry in entries.Where(entry => keep?.Contains(entry.Name) != false))
        {
            stream.Position = start + entry.Begin;
            tensors.Add(entry.Name, Tensor(stream, entry));
        }

        foreach (Tensor tensor in tensors.Values)
        {
            tensor.MoveToOuterDisposeScope();
        }

        return tensors;
    }

    private static byte[] Header(Stream stream, int length)
    {
        byte[] header = new byte[length];
        stream.ReadExactly(header);
        return header;
    }

    private static Tensor Tensor(Stream stream, SafetensorsEntry entry)
    {
        Tensor elements = TensorElements.Read(stream, entry.Elements, entry.Type).view(entry.Shape);
        return entry.Type == ScalarType.Bool ? elements.to_type(ScalarType.Bool) : elements;
    }

    /// <summary>The header, and the names in the order of their elements.</summary>
    private static (byte[] Json, string[] Order) Header(Dictionary<string, Tensor> stateDict)
    {
        ScalarType[] types = [.. SafetensorsHeader.Types.Select(known => known.Type)];
        string[] order = [.. stateDict.Keys.OrderBy(name => Array.IndexOf(types, stateDict[name].dtype)).ThenBy(name => name, StringComparer.Ordinal)];
        List<SafetensorsEntry> entries = [];
        long end = 0;
        foreach (string name in order)
        {
            Tensor tensor = stateDict[name];
            int size = SafetensorsHeader.TypeOf(tensor.dtype).Size;
            if (size == 0 || name == SafetensorsHeader.Metadata)
            {
                throw new ArgumentException($"{name} has elements of type {tensor.dtype}, or a name, that cannot be written.", nameof(stateDict));
            }

            entries.Add(new SafetensorsEntry(name, tensor.dtype, tensor.shape, end, end + tensor.NumberOfElements * size));
            end = entries[^1].End;
        }

        try
        {
            // What the reader's limits would refuse must not get into a file.
            byte[] json = SafetensorsHeader.Write(entries);
            SafetensorsHeader.Read(json, end);
            return json.LongLength <= SafetensorsHeader.Longest ? (json, order) : throw new InvalidDataException("the header has more than 100 MB");
        }
        catch (InvalidDataException e)
        {
            throw new ArgumentException($"The tensors could not be read back: {e.Message}.", nameof(stateDict), e);
        }
    }

    private static void Write(Stream stream, byte[] header, string[] order, Dictionary<string, Tensor> stateDict)
    {
        Span<byte> length = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(length, header.LongLength);
        stream.Write(length);
        stream.Write(header);
        foreach (string name in order)
        {
            TensorElements.Write(stream, stateDict[name]);
        }
    }
}

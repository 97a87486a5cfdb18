using System.Collections;
using System.IO.Compression;
using static TorchSharp.torch;

namespace TorchSharp.PyBridge;

/// <summary>Reads the zip files that <c>torch.save</c> of PyTorch 1.6 and later writes for dictionaries of tensors and plain values.</summary>
public static class PyTorchUnpickler
{
    // Values that stand in several places are counted in each.
    private const long ValuesPerByte = 10;

    // Views may overlap, and zip entries may be compressed or lie on each other: what a file grows to in memory is bounded.
    private const long AlwaysAllowed = 256L << 20;
    private const long MostGrowth = 64;
    private const long TensorOverhead = 512;

    // Storages are read in pieces: a span takes no more than 2 GB, and streams copy what they are handed.
    private const long ElementsAtOnce = 1 << 20;

    /// <inheritdoc cref="UnpickleStateDict(Stream, bool, bool)"/>
    /// <param name="file">The file.</param>
    /// <exception cref="IOException">The file cannot be opened.</exception>
    public static Hashtable UnpickleStateDict(string file)
    {
        using FileStream stream = File.OpenRead(file);
        return UnpickleStateDict(stream);
    }

    /// <summary>
    /// Reads a dictionary. Values are Hashtable (dict), ArrayList (list), object[] (tuple), string, long, double, bool, null and Tensor;
    /// keys are strings or longs. A Hashtable has no order. Tensors are contiguous CPU tensors without requires_grad in the current
    /// dispose scope; one that stands in several places is one object.
    /// </summary>
    /// <param name="stream">The zip file, from its first byte.</param>
    /// <param name="leaveOpen">Whether the stream stays open, also after an error.</param>
    /// <param name="skipTensorRead">Whether to leave the elements out: tensors are on the meta device then, with shape and element type only.</param>
    /// <exception cref="InvalidDataException">
    /// No such file, damaged, or with something that is refused: any global that would run code, keys or values of other kinds, sizes
    /// that do not agree. No tensor is left behind.
    /// </exception>
    public static Hashtable UnpickleStateDict(Stream stream, bool leaveOpen = false, bool skipTensorRead = false)
    {
        string name = stream is FileStream file ? file.Name : "the stream";
        try
        {
            Stream seekable = Seekable(stream);
            using var archive = new ZipArchive(seekable, ZipArchiveMode.Read, leaveOpen: true);
            return Read(new TorchArchive(archive), Math.Max(AlwaysAllowed, seekable.Length * MostGrowth), skipTensorRead);
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException)
        {
            throw new InvalidDataException($"{name} is no readable PyTorch zip file: {e.Message}", e);
        }
        finally
        {
            if (!leaveOpen)
            {
                stream.Dispose();
            }
        }
    }

    private static Hashtable Read(TorchArchive archive, long mostBytes, bool skipTensorRead)
    {
        byte[] pickle = archive.Bytes("data.pkl", PickleReader.LongestPickle);
        if (PickleReader.Read(pickle) is not Hashtable root)
        {
            throw new InvalidDataException("it holds no dictionary");
        }

        var contents = new PickledContents(root, ValuesPerByte * pickle.Length);
        var storages = contents.Tensors.GroupBy(tensor => tensor.Storage).ToArray();
        Int128 bytes = TensorOverhead * contents.Tensors.Count;
        foreach (var storage in storages)
        {
            bytes = storage.Aggregate(bytes + storage.Key.Bytes, (sum, tensor) => sum + tensor.Bytes);
        }

        if (bytes > mostBytes)
        {
            throw new InvalidDataException($"its tensors take {bytes} bytes, more than the {mostBytes} that are accepted from a file of its size");
        }

        using DisposeScope scope = NewDisposeScope();
        Dictionary<PickledTensor, Tensor> tensors = [];
        foreach (var storage in storages)
        {
            // One storage at a time: beside the tensors there is never more than one in memory.
            using DisposeScope inner = NewDisposeScope();
            Tensor? elements = skipTensorRead ? null : Elements(archive, storage.Key);
            foreach (PickledTensor tensor in storage)
            {
                tensors.Add(tensor, Materialise(tensor, elements).MoveToOuterDisposeScope());
            }
        }

        contents.Fill(tensors);
        foreach (Tensor tensor in tensors.Values)
        {
            tensor.MoveToOuterDisposeScope();
        }

        return root;
    }

    /// <summary>A storage's elements as a tensor of one dimension. Booleans stay bytes: a file may have others than 0 and 1.</summary>
    private static Tensor Elements(TorchArchive archive, PickledStorage storage)
    {
        using Stream stream = archive.Open(storage);
        Tensor elements = empty([storage.Elements], storage.Type == ScalarType.Bool ? ScalarType.Byte : storage.Type);
        for (long start = 0; start < storage.Elements; start += ElementsAtOnce)
        {
            using Tensor piece = elements.narrow(0, start, Math.Min(ElementsAtOnce, storage.Elements - start));
            stream.ReadExactly(piece.bytes);
        }

        return elements;
    }

    private static Tensor Materialise(PickledTensor tensor, Tensor? elements)
    {
        if (elements is null)
        {
            return empty(tensor.Size, tensor.Storage.Type, device: new Device(DeviceType.META));
        }

        Tensor value = empty(tensor.Size, tensor.Storage.Type);
        return tensor.Elements == 0 ? value : value.copy_(elements.as_strided(tensor.Size, tensor.Stride, tensor.Offset));
    }

    /// <summary>Zip files are read from their end; and their length bounds what they may grow to.</summary>
    private static Stream Seekable(Stream stream)
    {
        if (stream.CanSeek)
        {
            return stream;
        }

        var copy = new MemoryStream();
        stream.CopyTo(copy);
        return copy;
    }
}

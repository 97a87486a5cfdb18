using System.IO.Compression;

namespace Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

/// <summary>
/// Reads what <c>torch.save</c> writes for dictionaries of tensors and plain values: the zip files of PyTorch 1.6 and later, and the
/// files of earlier versions, distinguished by their first bytes.
/// </summary>
internal static class TorchFileReader
{
    // Values that occur several times are counted at each occurrence.
    private const long ValuesPerByte = 10;

    // Views may overlap, and zip entries may be compressed or overlap: the size in memory is bounded.
    private const long AlwaysAllowed = 256L << 20;
    private const long MaxGrowth = 64;
    private const long TensorOverhead = 512;

    /// <inheritdoc cref="Read(Stream, bool)"/>
    /// <param name="file">The file.</param>
    /// <param name="elements">Whether to read elements; otherwise tensors are on the meta device, with shape and type only.</param>
    /// <exception cref="IOException">The file cannot be opened.</exception>
    public static TorchDictionary Read(string file, bool elements = true)
    {
        using FileStream stream = File.OpenRead(file);
        return Read(stream, elements);
    }

    /// <summary>
    /// Reads a dictionary in its original order. Nothing is executed: a value that only code could make is a
    /// <see cref="TorchOpaque"/>, as is a tensor expanded far beyond the file's size, and an entry whose key is neither a short name nor an
    /// integer is skipped. Tensors are contiguous CPU tensors without requires_grad in the current dispose scope; a tensor that occurs
    /// several times is a single object.
    /// </summary>
    /// <param name="stream">The complete file as a seekable stream; it is read from its first byte regardless of its position.</param>
    /// <param name="elements">Whether to read elements; otherwise tensors are on the meta device, with shape and type only.</param>
    /// <exception cref="InvalidDataException">
    /// Not a PyTorch file, or damaged. No tensor is leaked.
    /// </exception>
    public static TorchDictionary Read(Stream stream, bool elements = true)
        => Open(stream, file => Read(file, Math.Max(AlwaysAllowed, stream.Length * MaxGrowth), elements));

    /// <summary>Checks that a file is a PyTorch file, whatever it contains; elements are not read.</summary>
    /// <exception cref="InvalidDataException">It is not, or it is damaged.</exception>
    public static void Check(string file)
    {
        using FileStream stream = File.OpenRead(file);
        Open(stream, torch => torch.Root);
    }

    private static T Open<T>(Stream stream, Func<ITorchFile, T> read)
    {
        try
        {
            if (LegacyTorchFile.HasSignature(stream))
            {
                return read(new LegacyTorchFile(stream));
            }

            using ZipArchive archive = FileSignature.OpenZip(stream);
            return read(new ZipTorchFile(archive));
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException)
        {
            throw new InvalidDataException($"{FormatGuard.Name(stream)} is not a readable PyTorch file: {e.Message}", e);
        }
    }

    private static TorchDictionary Read(ITorchFile file, long mostBytes, bool withElements)
    {
        TorchDictionary root = file.Root as TorchDictionary ?? throw new InvalidDataException(
            "it does not contain a dictionary" + (file.Root is TorchOpaque whole ? $", but {whole.Instead("dictionary")}" : ""));
        var contents = new PickledContents(root, ValuesPerByte * file.PickleLength);
        // Over the limit, tensors expanded far beyond their storage are skipped: the file may also hold an intact network.
        PickledTensor[] tensors = contents.Tensors.ToArray();
        tensors = Bytes(tensors) <= mostBytes ? tensors : [.. tensors.Where(one => one.Bytes <= one.Storage.Bytes * MaxGrowth)];
        if (Bytes(tensors) is var bytes && bytes > mostBytes)
        {
            throw new InvalidDataException($"its tensors need {bytes} bytes, more than the {mostBytes} accepted for a file of its size");
        }

        using DisposeScope scope = NewDisposeScope();
        Dictionary<PickledTensor, Tensor> made = [];
        foreach (var storage in tensors.GroupBy(tensor => tensor.Storage))
        {
            // One storage at a time: besides the tensors, at most one storage is in memory.
            using DisposeScope inner = NewDisposeScope();
            Tensor? elements = null;
            if (withElements)
            {
                file.Read(storage.Key, stream => elements = TensorElements.Read(stream, storage.Key.Elements, storage.First().Type));
            }

            foreach (PickledTensor tensor in storage)
            {
                made.Add(tensor, Materialise(tensor, elements).MoveToOuterDisposeScope());
            }
        }

        contents.Fill(made);
        foreach (Tensor tensor in made.Values)
        {
            tensor.MoveToOuterDisposeScope();
        }

        return root;
    }

    private static Int128 Bytes(IReadOnlyCollection<PickledTensor> tensors)
    {
        IEnumerable<Int128> storages = tensors.Select(tensor => tensor.Storage).Distinct().Select(storage => storage.Bytes);
        return tensors.Select(tensor => tensor.Bytes + TensorOverhead).Concat(storages)
            .Aggregate((Int128)0, (sum, bytes) => sum + bytes);
    }

    private static Tensor Materialise(PickledTensor tensor, Tensor? elements)
    {
        if (elements is null)
        {
            return empty(tensor.Size, tensor.Type, device: new Device(DeviceType.META));
        }

        Tensor value = empty(tensor.Size, tensor.Type);
        return tensor.Elements == 0 ? value : value.copy_(elements.as_strided(tensor.Size, tensor.Stride, tensor.Offset));
    }
}

/// <summary>A file written by <c>torch.save</c> in either format: a pickle, and the elements of the storages it refers to.</summary>
internal interface ITorchFile
{
    /// <summary>The pickled object.</summary>
    TorchValue Root { get; }

    /// <summary>The pickle's length in bytes.</summary>
    long PickleLength { get; }

    /// <summary>Reads a storage's elements through a callback; the stream is positioned at the first.</summary>
    /// <exception cref="InvalidDataException">They are missing, or their number differs from the pickle.</exception>
    void Read(PickledStorage storage, Action<Stream> read);
}

using System.IO.Compression;

namespace Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

/// <summary>
/// The zip entries that <c>torch.save</c> writes: <c>NAME/data.pkl</c>, <c>NAME/data/KEY</c> for each storage, <c>NAME/byteorder</c>.
/// </summary>
internal sealed class ZipTorchFile : ITorchFile
{
    private readonly Dictionary<string, ZipArchiveEntry> _entries = [];
    private readonly string _folder;

    /// <exception cref="InvalidDataException">Duplicate entries, no pickle or several, or an unsupported byte order.</exception>
    public ZipTorchFile(ZipArchive archive)
    {
        foreach (ZipArchiveEntry entry in archive.Entries)
        {
            if (!_entries.TryAdd(entry.FullName, entry))
            {
                throw new InvalidDataException($"it has two entries {FormatGuard.Quote(entry.FullName)}");
            }
        }

        if (_entries.Keys.FirstOrDefault(name => name.EndsWith("/constants.pkl", StringComparison.Ordinal)) is not null)
        {
            throw new InvalidDataException("it is a TorchScript archive (torch.jit.save): in Python, save the network's tensors with "
                + "torch.save(torch.jit.load(IN).state_dict(), OUT)");
        }

        string[] pickles = [.. _entries.Keys.Where(name => name.EndsWith("/data.pkl", StringComparison.Ordinal))];
        if (pickles.Length != 1)
        {
            throw new InvalidDataException(pickles.Length > 0
                ? $"it has {pickles.Length} entries NAME/data.pkl, expected one"
                : $"it is a zip file of other things (no NAME/data.pkl, but {FormatGuard.Quote(_entries.Keys.FirstOrDefault(""))}): "
                    + "unpack it first, and give the file inside");
        }

        _folder = pickles[0][..^"data.pkl".Length];
        if (_entries.ContainsKey(_folder + "byteorder") && !Bytes("byteorder", 16).AsSpan().SequenceEqual("little"u8))
        {
            throw new InvalidDataException("its numbers are not in little-endian byte order");
        }

        byte[] pickle = Bytes("data.pkl", PickleReader.MaxPickleLength);
        (Root, PickleLength) = (PickleReader.Read(pickle).Root, pickle.Length);
    }

    /// <inheritdoc/>
    public TorchValue Root { get; }

    /// <inheritdoc/>
    public long PickleLength { get; }

    /// <inheritdoc/>
    public void Read(PickledStorage storage, Action<Stream> read)
    {
        ZipArchiveEntry entry = Find($"data/{storage.Key}");
        if (entry.Length != storage.Bytes)
        {
            throw new InvalidDataException(
                $"storage {FormatGuard.Quote(storage.Key)} has {entry.Length} bytes, not {storage.Bytes} as the pickle says");
        }

        using Stream stream = entry.Open();
        read(stream);
    }

    /// <summary>Reads a small entry completely.</summary>
    /// <param name="name">The name below the file's folder.</param>
    /// <param name="most">The maximum accepted length.</param>
    private byte[] Bytes(string name, long most)
    {
        ZipArchiveEntry entry = Find(name);
        if (entry.Length > most)
        {
            throw new InvalidDataException($"its entry {FormatGuard.Quote(name)} has {entry.Length} bytes, more than the accepted {most}");
        }

        var bytes = new byte[entry.Length];
        using Stream stream = entry.Open();
        stream.ReadExactly(bytes);
        return bytes;
    }

    private ZipArchiveEntry Find(string name)
        => _entries.GetValueOrDefault(_folder + name) ?? throw new InvalidDataException($"it has no entry {FormatGuard.Quote(name)}");
}

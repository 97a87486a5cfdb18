using System.Buffers.Binary;
using static Imta.MetaWeight.Experiments.Checkpoints.TorchFiles.FormatGuard;

namespace Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

/// <summary>
/// What <c>torch.save</c> wrote before PyTorch 1.6: pickles of a magic number, a version, facts about the machine, the object and the
/// list of its storages' keys, one after the other; then for each key the number of elements (int64) and the elements.
/// </summary>
internal sealed class LegacyTorchFile : ITorchFile
{
    private const long KnownVersion = 1001;

    private readonly Stream _stream;
    private readonly Dictionary<PickledStorage, long> _offsets = [];

    /// <param name="stream">The file; must be seekable.</param>
    /// <exception cref="InvalidDataException">Unsupported format or byte order; or keys, element counts or the length disagree with the
    /// pickle.</exception>
    public LegacyTorchFile(Stream stream)
    {
        _stream = stream;
        byte[] pickles = new byte[Math.Min(stream.Length, PickleReader.MaxPickleLength)];
        stream.Position = 0;
        stream.ReadExactly(pickles);

        (TorchValue version, _, int end) = PickleReader.Read(pickles, MagicLength(pickles));
        Require(version is TorchInteger(KnownVersion), "its format version is not 1001");
        (TorchValue machine, _, int start) = PickleReader.Read(pickles, end);
        CheckMachine(machine as TorchDictionary ?? new());
        (Root, IReadOnlyCollection<PickledStorage> storages, end) = PickleReader.Read(pickles, start, legacy: true);
        PickleLength = end - start;
        (TorchValue keys, _, end) = PickleReader.Read(pickles, end);
        Locate(keys, end, storages);
    }

    /// <inheritdoc/>
    public TorchValue Root { get; }

    /// <inheritdoc/>
    public long PickleLength { get; }

    // 0x1950a86a20f9469cfc6c, pickled: with protocol 2 or later, and with earlier ones.
    private static ReadOnlySpan<byte> Magic => [0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, (byte)'.'];

    private static ReadOnlySpan<byte> MagicText => "L119547037146038801333356L\n."u8;

    /// <summary>Whether a file starts like a pickle, unlike a zip file.</summary>
    public static bool HasSignature(Stream stream)
    {
        Span<byte> start = stackalloc byte[MagicText.Length];
        stream.Position = 0;
        int length = stream.ReadAtLeast(start, start.Length, throwOnEndOfStream: false);
        return length > 0 && (start[0] == 0x80 || start.SequenceEqual(MagicText));
    }

    /// <inheritdoc/>
    public void Read(PickledStorage storage, Action<Stream> read)
    {
        _stream.Position = _offsets[storage];
        read(_stream);
    }

    /// <summary>The length of the first pickle: the protocol, a frame from protocol 4 on, and the number.</summary>
    private static int MagicLength(ReadOnlySpan<byte> file)
    {
        if (file.StartsWith(MagicText))
        {
            return MagicText.Length;
        }

        int start = file.Length > 1 && file[1] >= 4 ? 11 : 2;
        Require(file.Length >= start && file[start..].StartsWith(Magic), "it starts with a pickle, but not with "
            + "PyTorch's magic number: load it in Python and save it with torch.save");
        return start + Magic.Length;
    }

    // The sizes are the same in every file written by PyTorch; 'long' is the C type, not int64.
    private static void CheckMachine(TorchDictionary facts)
    {
        static bool Says(TorchDictionary facts, string key, params ReadOnlySpan<long> sizes)
            => facts.Entries.GetValueOrDefault(key) is TorchInteger(var size) && sizes.Contains(size);
        Require(
            Says(facts, "protocol_version", KnownVersion) && facts.Entries.GetValueOrDefault("little_endian") is TorchBool
                && facts.Entries.GetValueOrDefault("type_sizes") is TorchDictionary sizes
                && Says(sizes, "short", 2) && Says(sizes, "int", 4) && Says(sizes, "long", 4, 8),
            "its record of the machine that wrote it is not PyTorch's");
        Require(facts["little_endian"] is TorchBool(true), "its numbers are not in little-endian byte order");
    }

    /// <summary>Locates each storage's elements, and checks keys, counts and the file's length against the pickle.</summary>
    /// <param name="keys">The list of storages.</param>
    /// <param name="end">Where it ends.</param>
    /// <param name="storages">The storages referenced by the pickle.</param>
    private void Locate(TorchValue keys, int end, IReadOnlyCollection<PickledStorage> storages)
    {
        Require(keys is TorchList, "it has no list of storages after the pickle");
        Dictionary<string, PickledStorage> missing = storages.ToDictionary(storage => storage.Key);
        Int128 offset = end;
        foreach (TorchValue item in keys.Parts)
        {
            string key = (item as TorchString)?.Value ?? throw new InvalidDataException("the key of a storage is not a string");
            if (!missing.Remove(key, out PickledStorage? storage))
            {
                throw new InvalidDataException($"its list contains storage {Quote(key)} twice, or the pickle does not name it");
            }

            CheckCount(storage, offset);
            _offsets.Add(storage, (long)offset + sizeof(long));
            offset += sizeof(long) + storage.Bytes;
        }

        Require(missing.Count == 0, $"its list lacks storage {Quote(missing.Keys.FirstOrDefault(""))}");
        Require(offset == _stream.Length, $"it has {_stream.Length} bytes, but its storages end at {offset}");
    }

    private void CheckCount(PickledStorage storage, Int128 offset)
    {
        string name = Quote(storage.Key);
        Require(offset + sizeof(long) + storage.Bytes <= _stream.Length, $"it ends before the elements of storage {name} do; {Incomplete}");
        Span<byte> bytes = stackalloc byte[sizeof(long)];
        _stream.Position = (long)offset;
        _stream.ReadExactly(bytes);
        long count = BinaryPrimitives.ReadInt64LittleEndian(bytes);
        Require(count == storage.Elements, $"storage {name} has {count} elements, not {storage.Elements} as the pickle says");
    }
}

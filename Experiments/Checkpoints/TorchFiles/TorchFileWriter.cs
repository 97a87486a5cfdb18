using System.IO.Compression;

namespace Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

/// <summary>Writes zip files that <c>torch.load</c> reads.</summary>
internal static class TorchFileWriter
{
    // The earliest zip timestamp: equal contents produce identical files.
    private static readonly DateTimeOffset Epoch = new(1980, 1, 1, 0, 0, 0, TimeSpan.Zero);

    /// <inheritdoc cref="Write(Stream, TorchDictionary)"/>
    /// <summary>Writes a file atomically with <see cref="AtomicFile"/>: whatever happens, a complete file exists.</summary>
    /// <param name="file">The file.</param>
    /// <param name="content">The dictionary.</param>
    /// <param name="previous">The backup path for the replaced file; null: it is not kept.</param>
    public static void Write(string file, TorchDictionary content, string? previous = null)
        => AtomicFile.Write(file, stream => Write(stream, content), previous);

    /// <summary>
    /// Writes a dictionary in its order. Tensors are written in row-major order, from any device, each into its own storage. Equal
    /// contents produce identical bytes.
    /// </summary>
    /// <param name="stream">The target; nothing is written if a value cannot be.</param>
    /// <param name="content">The dictionary.</param>
    /// <exception cref="ArgumentException"> An element type or string that cannot be written, or content beyond the reader's limits:
    /// nesting over 100 levels, keys over 1024 characters, a million containers, a pickle (all but the tensors' elements) over 16 MiB.
    /// </exception>
    public static void Write(Stream stream, TorchDictionary content)
    {
        (byte[] pickle, IReadOnlyList<Tensor> tensors) = PickleWriter.Write(content);

        // ZipArchive cannot align the storages as torch.save does; torch.load copies them, so it makes no difference.
        using var archive = new ZipArchive(stream, ZipArchiveMode.Create, leaveOpen: true);
        Entry(archive, "data.pkl", entry => entry.Write(pickle));
        Entry(archive, "byteorder", entry => entry.Write("little"u8));
        for (int k = 0; k < tensors.Count; k++)
        {
            Tensor tensor = tensors[k];
            Entry(archive, $"data/{k}", entry => TensorElements.Write(entry, tensor));
        }

        Entry(archive, "version", entry => entry.Write("3\n"u8));
    }

    private static void Entry(ZipArchive archive, string name, Action<Stream> write)
    {
        ZipArchiveEntry entry = archive.CreateEntry($"archive/{name}", CompressionLevel.NoCompression);
        entry.LastWriteTime = Epoch;
        using Stream stream = entry.Open();
        write(stream);
    }
}

using System.Collections;
using System.IO.Compression;
using static TorchSharp.torch;

namespace TorchSharp.PyBridge;

/// <summary>Writes zip files that <c>torch.load</c> reads.</summary>
public static class PyTorchPickler
{
    // The earliest time that zip files know: equal contents give equal files.
    private static readonly DateTimeOffset Epoch = new(1980, 1, 1, 0, 0, 0, TimeSpan.Zero);

    /// <inheritdoc cref="PickleStateDict(Stream, IDictionary, bool)"/>
    /// <param name="file">The file, which is created or replaced; it is not touched when a value cannot be written.</param>
    /// <param name="source">The dictionary.</param>
    public static void PickleStateDict(string file, IDictionary source)
    {
        var pickled = PickleWriter.Write(source);
        using FileStream stream = File.Create(file);
        Write(stream, pickled.Pickle, pickled.Tensors);
    }

    /// <summary>
    /// Writes a dictionary in its own order. Values are dictionaries (dict), object[] (tuple), other lists (list), string, int and long,
    /// double, bool, null and tensors, which are written row by row, from any device; keys are string, int and long. The same content
    /// gives the same bytes.
    /// </summary>
    /// <param name="stream">Where to; nothing is written when a value cannot be.</param>
    /// <param name="source">The dictionary.</param>
    /// <param name="leaveOpen">Whether the stream stays open, also after an error.</param>
    /// <exception cref="ArgumentException">
    /// A key, value or element type of another kind, or more than the reader accepts: nested over 100 deep, keys over 1024 characters,
    /// a million containers, a pickle (all but the tensors' elements) over 16 MiB.
    /// </exception>
    public static void PickleStateDict(Stream stream, IDictionary source, bool leaveOpen = false)
    {
        try
        {
            var pickled = PickleWriter.Write(source);
            Write(stream, pickled.Pickle, pickled.Tensors);
        }
        finally
        {
            if (!leaveOpen)
            {
                stream.Dispose();
            }
        }
    }

    private static void Write(Stream stream, byte[] pickle, IReadOnlyList<Tensor> tensors)
    {
        // ZipArchive leaves no way to align the storages as torch.save does; torch.load copies them and does not mind.
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

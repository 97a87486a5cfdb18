using System.IO.Compression;
using static Imta.MetaWeight.Experiments.Checkpoints.TorchFiles.FormatGuard;

namespace Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

/// <summary>Files often mistaken for checkpoints, recognised by their first bytes.</summary>
internal static class FileSignature
{
    /// <summary>What can be read instead.</summary>
    public const string Expected = "expected a checkpoint of imta train, a PyTorch checkpoint or state dictionary, or a safetensors file";

    private static readonly (int Offset, byte[] Bytes, string What)[] Known =
    [
        (0, "PK\x03\x04"u8.ToArray(), $"it is a zip file whose list of contents, at its end, is missing or damaged; {Incomplete}"),
        (0, "version https://git-lfs"u8.ToArray(), "it is a Git LFS pointer to the file, not the file: run git lfs pull"),
        (0, [0x1f, 0x8b], "it is compressed with gzip: unpack it first (gunzip < IN > OUT)"),
        (0, "BZh"u8.ToArray(), "it is compressed with bzip2: unpack it first (bunzip2 < IN > OUT)"),
        (0, [0xfd, .. "7zXZ"u8], "it is compressed with xz: unpack it first (unxz < IN > OUT)"),
        (0, [0x28, 0xb5, 0x2f, 0xfd], "it is compressed with zstd: unpack it first (unzstd < IN > OUT)"),
        (257, "ustar"u8.ToArray(), "it is a tar archive: unpack it first (tar -xf), and give the file inside"),
        (0, [0x89, .. "HDF"u8], "it is an HDF5 file, which other frameworks write: save the network's tensors with torch.save in Python"),
        (0, [0x80], "it is a file of PyTorch before 1.6, which imta convert reads"),
        (4, [0, 0, 0, 0, .. "{\""u8], "it is a safetensors file, which imta convert reads"),
    ];

    /// <summary>Opens a zip file; the stream stays open.</summary>
    /// <exception cref="InvalidDataException">It is something else, or incomplete; the message says what, and what to do.</exception>
    public static ZipArchive OpenZip(Stream stream)
    {
        ZipArchive? archive = null;
        try
        {
            archive = new ZipArchive(stream, ZipArchiveMode.Read, leaveOpen: true);
            _ = archive.Entries; // reads the list
            return archive;
        }
        catch (InvalidDataException e)
        {
            archive?.Dispose();
            throw new InvalidDataException(Describe(stream), e);
        }
    }

    /// <summary>What a file is that no reader recognises, and what to do about it.</summary>
    public static string Describe(Stream stream)
    {
        byte[] start = new byte[Math.Min(stream.Length, 512)];
        stream.Position = 0;
        stream.ReadExactly(start);
        if (start.Length == 0)
        {
            return "it is empty: copy or download it again";
        }

        if (Known.FirstOrDefault(known => start.AsSpan(Math.Min(known.Offset, start.Length)).StartsWith(known.Bytes)).What is { } what)
        {
            return what;
        }

        string text = System.Text.Encoding.UTF8.GetString(start);
        return text.TrimStart('\ufeff', ' ', '\t', '\r', '\n').StartsWith('<')
            ? "it is a web page (HTML or XML): download the file itself, not the page about it"
            : text.Any(c => char.IsControl(c) && !char.IsWhiteSpace(c))
                ? $"its first bytes match no known format; {Expected}"
                : $"it is text that starts with {Quote(text.Split('\n')[0].TrimEnd())}; {Expected}";
    }
}

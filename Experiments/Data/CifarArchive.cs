using System.Formats.Tar;
using System.Globalization;
using System.IO.Compression;

namespace Imta.MetaWeight.Experiments.Data;

/// <summary>Unpacks the official archive of a CIFAR data set, and checks whether a folder is complete.</summary>
internal static class CifarArchive
{
    private const long MaxNamesBytes = 1 << 16;

    /// <summary>The folder below <paramref name="root"/>, or that folder itself, that contains all original files; null: neither.</summary>
    public static string? CompleteFolder(CifarFormat format, string root)
        => new[] { Path.Combine(root, format.Folder), root }.FirstOrDefault(folder => FindProblem(format, folder) is null);

    /// <summary>Why a folder is not the complete data set; null: it is complete.</summary>
    public static string? FindProblem(CifarFormat format, string folder)
    {
        foreach (string name in format.Files)
        {
            var file = new FileInfo(Path.Combine(folder, name));
            if (!file.Exists)
            {
                return $"{name} is missing";
            }

            using FileStream stream = file.OpenRead(); // gives the file's length even for a symbolic link
            if (stream.Length != format.FileBytes(name))
            {
                return WrongLength(format, name, stream.Length);
            }
        }

        return null;
    }

    /// <summary>
    /// Unpacks only the data set's files into its folder below <paramref name="root"/>; the folder appears only once it is complete.
    /// </summary>
    /// <returns>The folder.</returns>
    /// <exception cref="IOException">The archive is damaged or lacks a file, the folder already exists, or the disk is full.</exception>
    /// <exception cref="OperationCanceledException">Stopped by <paramref name="stop"/>; nothing is left behind.</exception>
    public static async Task<string> UnpackAsync(CifarFormat format, string archive, string root, CancellationToken stop)
    {
        string folder = Path.Combine(root, format.Folder);
        string beside = folder + AtomicFile.Suffix;
        Clear(beside);
        try
        {
            Directory.CreateDirectory(beside);
            await UnpackFilesAsync(format, archive, beside, stop);
            if (FindProblem(format, beside) is { } lack)
            {
                throw new IOException($"{archive} is not {format.Name}'s archive: {lack}");
            }

            if (Directory.Exists(folder))
            {
                Directory.Delete(folder); // only if empty
            }

            Directory.Move(beside, folder);
            return folder;
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException)
        {
            throw new IOException($"{archive} is damaged: {e.Message.ReplaceLineEndings(" ")}", e);
        }
        finally
        {
            Clear(beside);
        }
    }

    // Names come from the format, never from the archive, so no entry can escape the folder.
    private static async Task UnpackFilesAsync(CifarFormat format, string archive, string beside, CancellationToken stop)
    {
        await using FileStream file = File.OpenRead(archive);
        await using var unzipped = new GZipStream(file, CompressionMode.Decompress);
        await using var reader = new TarReader(unzipped);
        while (await reader.GetNextEntryAsync(copyData: false, stop) is { } entry)
        {
            string[] names = [.. format.Files, format.NamesFile];
            if (entry.EntryType is TarEntryType.RegularFile or TarEntryType.V7RegularFile
                && names.FirstOrDefault(name => entry.Name == $"{format.Folder}/{name}") is { } known)
            {
                CheckLength(format, archive, known, entry.Length);
                await using var target = new FileStream(Path.Combine(beside, known), FileMode.Create, FileAccess.Write);
                await (entry.DataStream ?? Stream.Null).CopyToAsync(target, stop);
                target.Flush(flushToDisk: true);
            }
        }
    }

    // Before writing: a few bytes of an archive can expand to gigabytes.
    private static void CheckLength(CifarFormat format, string archive, string name, long length)
    {
        if (name == format.NamesFile ? length > MaxNamesBytes : length != format.FileBytes(name))
        {
            throw new IOException($"{archive} is not {format.Name}'s archive: {WrongLength(format, name, length)}");
        }
    }

    private static string WrongLength(CifarFormat format, string name, long length)
        => string.Create(CultureInfo.InvariantCulture, $"{name} has {length} bytes")
            + (name == format.NamesFile ? "" : string.Create(CultureInfo.InvariantCulture, $" instead of {format.FileBytes(name)}"));

    private static void Clear(string folder)
    {
        if (Directory.Exists(folder))
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}

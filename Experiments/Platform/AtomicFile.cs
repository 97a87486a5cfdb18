using System.Security.Cryptography;

namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>
/// Writes a temporary file in the same folder, flushes it to disk, and renames it: whatever happens, a complete file exists, old or new
/// (on Windows, if the old one is kept, briefly only under its backup name).
/// </summary>
internal static class AtomicFile
{
    /// <summary>The extension of a file that is being written.</summary>
    public const string Suffix = ".partial";

    /// <param name="path">The file; for a link, its target. Devices and pipes are written to directly.</param>
    /// <param name="write">Writes its content.</param>
    /// <param name="previous">The backup path of the old file, replacing any older backup; null: it is not kept.</param>
    public static void Write(string path, Action<Stream> write, string? previous = null)
    {
        path = new FileInfo(path) is { LinkTarget: not null } link ? link.ResolveLinkTarget(returnFinalTarget: true)!.FullName : path;
        if (new FileInfo(path) is { Exists: true, Length: 0 }) // a device or a pipe; or empty: there is nothing to lose
        {
            using var direct = new FileStream(path, FileMode.Open, FileAccess.ReadWrite);
            write(direct);
            return;
        }

        string beside = path + Suffix;
        FileStream stream = new(beside, FileMode.Create, FileAccess.ReadWrite, FileShare.None); // refuses a second writer
        try
        {
            using (stream) // Windows renames no open file
            {
                write(stream);
                stream.Flush(flushToDisk: true);
            }

            if (previous is not null && File.Exists(path))
            {
                // On Unix, the old file first gets the other name as a second one.
                File.Replace(beside, path, previous, ignoreMetadataErrors: true);
            }
            else
            {
                File.Move(beside, path, overwrite: true);
            }
        }
        catch
        {
            File.Delete(beside);
            throw;
        }
    }

    /// <exception cref="UsageException">An output's path has control characters: no line could name it.</exception>
    public static void CheckName(string path)
    {
        if (path.Any(char.IsControl))
        {
            throw new UsageException(
                $"the output path {Terminal.Sanitize(path)} contains a control character, such as a line break; choose another path");
        }
    }

    /// <summary>
    /// Checks that files can be written to a folder or, if it does not exist, to the nearest one above it. Leaves nothing behind.
    /// </summary>
    /// <exception cref="IOException">They cannot; the message names the folder.</exception>
    public static void Probe(string folder)
    {
        string existing = Path.GetFullPath(folder);
        while (!Directory.Exists(existing) && Path.GetDirectoryName(existing) is { } above)
        {
            existing = above;
        }

        string probe = Path.Combine(existing, Path.GetRandomFileName());
        try
        {
            using (File.Create(probe, 1, FileOptions.DeleteOnClose))
            {
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            string reason = e switch
            {
                UnauthorizedAccessException => "access is denied",
                FileNotFoundException => "its file system does not allow it",
                _ => e.Message.Split(" : '")[0], // the rest is the path of the probe
            };
            throw new IOException($"no file can be created in {existing}: {reason}", e);
        }
    }

    public static void WriteText(string path, string text) => Write(path, stream => stream.Write(System.Text.Encoding.UTF8.GetBytes(text)));
}

/// <summary>The hash by which files are recognised.</summary>
internal static class FileHash
{
    /// <summary>The SHA-256 of a file's content, in hexadecimal.</summary>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static string Sha256(string path)
    {
        using FileStream stream = File.OpenRead(path);
        return Convert.ToHexStringLower(SHA256.HashData(stream));
    }
}

/// <summary>Paths of any operating system, as written to files and as compared.</summary>
internal static class PathNames
{
    /// <summary>A relative path as written to files on every system: with slashes.</summary>
    /// <param name="path">The path.</param>
    /// <param name="separator">The system's separator.</param>
    public static string Portable(string path, char separator) => separator == '/' ? path : path.Replace(separator, '/');

    /// <summary>Whether a path is a folder or lies in it.</summary>
    /// <param name="folder">The folder's full path.</param>
    /// <param name="path">The full path.</param>
    /// <param name="separator">The system's separator.</param>
    /// <param name="comparison">How the system compares names.</param>
    public static bool IsWithin(string folder, string path, char separator, StringComparison comparison)
        => $"{path.TrimEnd(separator)}{separator}".StartsWith($"{folder.TrimEnd(separator)}{separator}", comparison);
}

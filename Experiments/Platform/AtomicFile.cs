namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>
/// Writes a temporary file in the same folder, flushes it to disk, and renames it: whatever happens, a complete file exists, old or new (if
/// the old one is kept, briefly only under its backup name).
/// </summary>
internal static class AtomicFile
{
    /// <summary>The extension of a file that is being written.</summary>
    public const string Suffix = ".partial";

    /// <param name="path">The file.</param>
    /// <param name="write">Writes its content.</param>
    /// <param name="previous">The backup path of the old file, replacing any older backup; null: it is not kept.</param>
    public static void Write(string path, Action<Stream> write, string? previous = null)
    {
        string beside = path + Suffix;
        try
        {
            using (var stream = new FileStream(beside, FileMode.Create, FileAccess.ReadWrite))
            {
                write(stream);
                stream.Flush(flushToDisk: true);
            }

            if (previous is not null && File.Exists(path))
            {
                File.Move(path, previous, overwrite: true);
            }

            File.Move(beside, path, overwrite: true);
        }
        catch
        {
            File.Delete(beside);
            throw;
        }
    }

    public static void WriteText(string path, string text) => Write(path, stream => stream.Write(System.Text.Encoding.UTF8.GetBytes(text)));
}

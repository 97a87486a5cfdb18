namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>Writes a file beside its place, flushes it to the disk, and renames it: whatever happens, a whole file is there, the old or the new (where the old one is kept, for a moment under its other name only).</summary>
internal static class AtomicFile
{
    /// <summary>Ends the name of a file that is being written.</summary>
    public const string Suffix = ".partial";

    /// <param name="path">The file.</param>
    /// <param name="write">Writes its content.</param>
    /// <param name="previous">Where the old file goes, in the place of an older one; null: it is not kept.</param>
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

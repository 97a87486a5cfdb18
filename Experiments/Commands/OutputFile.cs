
namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>A file or folder that a command writes, by <c>--out</c> as a rule.</summary>
internal static class OutputFile
{
    /// <summary>Refuses a file that cannot be written, before the work whose result it is for.</summary>
    /// <param name="file">The file.</param>
    /// <param name="other">What to give another of.</param>
    /// <exception cref="UsageException">It cannot.</exception>
    public static void Check(string file, string other = "place with --out") => Guarded(file, () =>
    {
        if (Directory.Exists(file))
        {
            throw new IOException("it is a folder");
        }

        string beside = file + AtomicFile.Suffix;
        File.WriteAllBytes(beside, []);
        File.Delete(beside);
    }, other);

    /// <summary>Says in a line of its own that a place cannot be written.</summary>
    public static void Guarded(string place, Action write, string other = "place with --out")
    {
        try
        {
            write();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"{place} cannot be written ({e.Message.ReplaceLineEndings(" ").TrimEnd('.')}); give another {other}", e);
        }
    }
}


namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>A file or folder that a command writes, usually given by <c>--out</c>.</summary>
internal static class OutputFile
{
    /// <summary>Fails early if a file cannot be written, before the work whose result goes there.</summary>
    /// <param name="file">The file.</param>
    /// <param name="other">The argument or option to change, for the message.</param>
    /// <exception cref="UsageException">It cannot be written.</exception>
    public static void Check(string file, string other = "location with --out") => Guarded(file, () =>
    {
        if (Directory.Exists(file))
        {
            throw new IOException("it is a folder");
        }

        string beside = file + AtomicFile.Suffix;
        File.WriteAllBytes(beside, []);
        File.Delete(beside);
    }, other);

    /// <summary>Turns write failures into a one-line error message.</summary>
    public static void Guarded(string place, Action write, string other = "location with --out")
    {
        try
        {
            write();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"{place} cannot be written ({e.Message.ReplaceLineEndings(" ").TrimEnd('.')}); choose another {other}", e);
        }
    }
}

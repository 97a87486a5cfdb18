
namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>A file or folder that a command writes, usually given by <c>--out</c>.</summary>
internal static class OutputFile
{
    /// <summary>Fails early if a file cannot be written, before the work whose result goes there.</summary>
    /// <param name="file">The file.</param>
    /// <param name="alternative">The argument or option to change, for the message.</param>
    /// <exception cref="UsageException">It cannot be written.</exception>
    public static void EnsureWritable(string file, string alternative = "location with --out") => WrapErrors(file, () =>
    {
        if (Directory.Exists(file))
        {
            throw new IOException("it is a folder");
        }

        string beside = file + AtomicFile.Suffix;
        File.WriteAllBytes(beside, []);
        File.Delete(beside);
    }, alternative);

    /// <summary>Turns write failures into a one-line error message.</summary>
    public static void WrapErrors(string path, Action write, string alternative = "location with --out")
    {
        try
        {
            write();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException(
                $"{path} cannot be written ({e.Message.ReplaceLineEndings(" ").TrimEnd('.')}); choose another {alternative}", e);
        }
    }
}

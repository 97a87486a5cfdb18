using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>What the user names by <c>--out</c>.</summary>
internal static class OutputFile
{
    /// <summary>Refuses a file that cannot be written, before the work whose result it is for.</summary>
    /// <exception cref="UsageException">It cannot.</exception>
    public static void Check(string file) => Guarded(file, () =>
    {
        if (Directory.Exists(file))
        {
            throw new IOException("it is a folder");
        }

        string beside = file + AtomicFile.Suffix;
        File.WriteAllBytes(beside, []);
        File.Delete(beside);
    });

    /// <summary>Says in a line of its own that a place cannot be written.</summary>
    public static void Guarded(string place, Action write)
    {
        try
        {
            write();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"{place} cannot be written ({e.Message.ReplaceLineEndings(" ").TrimEnd('.')}); give another place with --out", e);
        }
    }
}

namespace Imta.MetaWeight.Experiments.Runs;

/// <summary>Says that a process works in a folder: a file <c>.lock</c> that it holds open and that goes with it, however it ends.</summary>
internal static class FolderLock
{
    /// <summary>Takes the folder until the result is disposed; null: another process has it.</summary>
    public static IDisposable? Take(string folder)
    {
        try
        {
            return new FileStream(Path.Combine(folder, ".lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 1, FileOptions.DeleteOnClose);
        }
        catch (IOException e) when (e is not (DirectoryNotFoundException or PathTooLongException))
        {
            return null;
        }
    }

    /// <summary>Whether a process works there.</summary>
    public static bool IsTaken(string folder)
    {
        if (!Directory.Exists(folder))
        {
            return false;
        }

        using IDisposable? mine = Take(folder);
        return mine is null;
    }
}

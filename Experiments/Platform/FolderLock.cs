namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>
/// Marks a folder as in use by a process: a file <c>.lock</c> that it holds open. The lock ends with the process, however it ends; a
/// killed process may leave the file behind.
/// </summary>
internal static class FolderLock
{
    private const string Name = ".lock";
    private const int Attempts = 5; // IsLocked of another process holds the lock for an instant
    private const int WouldBlockLinux = 11, WouldBlockMac = 35, SharingViolation = 32;
    private static readonly TimeSpan BetweenAttempts = TimeSpan.FromMilliseconds(20);

    /// <summary>Locks the folder until the result is disposed; null if another process holds the lock.</summary>
    /// <exception cref="IOException">The folder cannot be written.</exception>
    public static IDisposable? TryAcquire(string folder)
    {
        FileStream? handle = null;
        for (int attempt = 0; attempt < Attempts && handle is null; attempt++)
        {
            Thread.Sleep(attempt == 0 ? TimeSpan.Zero : BetweenAttempts);
            handle = Open(folder, FileMode.OpenOrCreate, FileOptions.DeleteOnClose);
        }

        return handle;
    }

    /// <summary>Whether a process holds the lock. Changes nothing.</summary>
    public static bool IsLocked(string folder)
    {
        try
        {
            using FileStream? handle = Open(folder, FileMode.Open, FileOptions.None);
            return handle is null;
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return false;
        }
    }

    /// <summary>
    /// Whether a folder contains only what a killed process may leave in a new one: its lock and a partially written file.
    /// </summary>
    public static bool IsEmpty(string folder) => !Directory.EnumerateFileSystemEntries(folder)
        .Any(entry => Path.GetFileName(entry) != Name && !entry.EndsWith(AtomicFile.Suffix, StringComparison.Ordinal));

    private static FileStream? Open(string folder, FileMode mode, FileOptions options)
    {
        try
        {
            return new FileStream(Path.Combine(folder, Name), mode, FileAccess.ReadWrite, FileShare.None, bufferSize: 1, options);
        }
        catch (IOException e) when ((e.HResult & 0xFFFF) is WouldBlockLinux or WouldBlockMac or SharingViolation)
        {
            return null;
        }
    }
}

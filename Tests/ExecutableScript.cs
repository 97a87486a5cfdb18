using System.Diagnostics;

namespace Imta.MetaWeight.Tests;

/// <summary>Shell scripts that stand for programs.</summary>
internal static class ExecutableScript
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Writes a script and waits until it can be started: Linux refuses a file that is open for writing, and a process that another
    /// thread starts in these milliseconds has it open until its own program begins.
    /// </summary>
    public static void Write(string path, string text)
    {
        File.WriteAllText(path, text.ReplaceLineEndings("\n"));
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        for (var clock = Stopwatch.StartNew(); clock.Elapsed < Patience; Thread.Sleep(1))
        {
            try
            {
                using var alone = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.None);
                return;
            }
            catch (IOException)
            {
                // still open
            }
        }
    }
}

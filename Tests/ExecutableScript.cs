using System.Diagnostics;

namespace Imta.MetaWeight.Tests;

/// <summary>Shell scripts that stand for programs.</summary>
internal static class ExecutableScript
{
    /// <summary>
    /// Writes a script by another process: Linux starts no file that is open for writing, and one that is open here is also open, for
    /// an instant, in a process that another thread starts.
    /// </summary>
    public static void Write(string path, string text)
    {
        var start = new ProcessStartInfo("/bin/sh", ["-c", "cat > \"$1\" && chmod 700 \"$1\"", "sh", path])
        {
            RedirectStandardInput = true,
        };
        using Process shell = Process.Start(start)!;
        shell.StandardInput.Write(text.ReplaceLineEndings("\n"));
        shell.StandardInput.Close();
        shell.WaitForExit();
        shell.ExitCode.Should().Be(0);
    }
}

using System.Globalization;
using System.Text;
using Spectre.Console;

namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>Properties of the output terminal.</summary>
internal static class Terminal
{
    /// <summary>Formats a number of things: <c>1 thread</c>, <c>2 threads</c>.</summary>
    public static string Count(int number, string thing) => FormattableString.Invariant($"{number} {thing}{(number == 1 ? "" : "s")}");

    // Open MPI gives every rank a terminal of its own, even if mpirun's output is redirected to a file.
    private static bool IsOfLauncher => Environment.GetEnvironmentVariable("OMPI_COMM_WORLD_SIZE") is not null;

    /// <summary>Whether the output goes to an interactive terminal.</summary>
    public static bool IsTerminal => !Console.IsOutputRedirected && !IsOfLauncher;

    /// <summary>Whether the terminal can redraw lines (for a progress bar), unlike a file, a pipe or a dumb terminal.</summary>
    public static bool IsInteractive => IsTerminal && AnsiConsole.Profile.Capabilities.Interactive;

    /// <summary>
    /// Call before any output: it is UTF-8 also on Windows, whose consoles have a code page; a launcher's terminal gets plain text only.
    /// </summary>
    public static void Prepare()
    {
        if (OperatingSystem.IsWindows())
        {
            Console.OutputEncoding = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false);
        }

        if (IsOfLauncher)
        {
            Environment.SetEnvironmentVariable("TERM", "dumb");
        }
    }

    /// <summary>Sanitises external text for a message: at most 100 characters, on one line, without control characters.</summary>
    public static string Sanitize(string text)
    {
        var line = new StringBuilder();
        foreach (var rune in text.EnumerateRunes())
        {
            if (line.Length >= 100)
            {
                return line.Append('…').ToString();
            }

            var harmless = !Rune.IsControl(rune) && rune.Value is not (0x2028 or 0x2029);
            _ = harmless ? line.Append(rune) : line.Append(CultureInfo.InvariantCulture, $"\\u{rune.Value:x4}");
        }

        return line.ToString();
    }
}

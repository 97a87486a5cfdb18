using System.Globalization;
using System.Text;
using Spectre.Console;

namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>Where the output goes.</summary>
internal static class Terminal
{
    // Open MPI gives every rank a terminal of its own, also where mpirun's output goes to a file.
    private static bool IsOfLauncher => Environment.GetEnvironmentVariable("OMPI_COMM_WORLD_SIZE") is not null;

    /// <summary>Whether somebody looks at it on a terminal.</summary>
    public static bool IsSeen => !Console.IsOutputRedirected && !IsOfLauncher;

    /// <summary>Whether it goes to a terminal that can redraw a line, for a bar; else to a file, a pipe or a simple terminal.</summary>
    public static bool IsInteractive => IsSeen && AnsiConsole.Profile.Capabilities.Interactive;

    /// <summary>Before anything is written: nothing but text goes to a launcher's terminal.</summary>
    public static void Prepare()
    {
        if (IsOfLauncher)
        {
            Environment.SetEnvironmentVariable("TERM", "dumb");
        }
    }

    /// <summary>Foreign text for a message: at most 100 characters, on one line, nothing that a terminal would obey.</summary>
    public static string OneLine(string text)
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

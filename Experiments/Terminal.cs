using Spectre.Console;

namespace Imta.MetaWeight.Experiments;

/// <summary>Where the output goes.</summary>
internal static class Terminal
{
    /// <summary>Whether it goes to a terminal that can redraw a line, for a bar; else to a file, a pipe or a simple terminal.</summary>
    public static bool IsInteractive => !Console.IsOutputRedirected && AnsiConsole.Profile.Capabilities.Interactive;
}

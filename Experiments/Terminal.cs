using Spectre.Console;

namespace Imta.MetaWeight.Experiments;

/// <summary>Where the output goes.</summary>
internal static class Terminal
{
    /// <summary>
    /// Open MPI gives every rank a terminal of its own, though its own output goes to a file: nothing but plain text is to be written there. To
    /// be called before anything is.
    /// </summary>
    public static void BePlainInRank()
    {
        if (Environment.GetEnvironmentVariable("OMPI_COMM_WORLD_SIZE") is not null)
        {
            Environment.SetEnvironmentVariable("TERM", "dumb");
        }
    }

    /// <summary>Whether it goes to a terminal that can redraw a line, for a bar; else to a file, a pipe or a simple terminal.</summary>
    public static bool IsInteractive => !Console.IsOutputRedirected && AnsiConsole.Profile.Capabilities.Interactive;
}

using Spectre.Console;

namespace Imta.MetaWeight.Experiments;

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
}

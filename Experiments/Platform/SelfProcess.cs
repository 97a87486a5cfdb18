using System.Diagnostics;
using System.Reflection;

namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>This program, for starting it as a child process.</summary>
internal static class SelfProcess
{
    /// <summary>Its version and commit.</summary>
    public static string Version { get; }
        = typeof(SelfProcess).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";

    /// <summary>
    /// A child process with these arguments that is not a rank of this run: its input is a pipe that closes when this process ends, however
    /// it ends, and the child then stops.
    /// </summary>
    /// <param name="arguments">The program's arguments.</param>
    /// <param name="starter">A launcher command that starts it; empty: it is started directly.</param>
    public static ProcessStartInfo StartInfo(IEnumerable<string> arguments, params string[] starter)
    {
        string[] command = [.. starter, .. Command(arguments)];
        var start = new ProcessStartInfo(command[0], command[1..]) { RedirectStandardInput = true };
        RankAssignment.RemoveFrom(start.Environment);
        start.Environment[StopSignal.StopsWithInput] = "1";
        return start;
    }

    /// <summary>The executable and arguments that start this program.</summary>
    private static string[] Command(IEnumerable<string> arguments)
    {
        string program = Environment.ProcessPath!;
        bool host = Path.GetFileNameWithoutExtension(program) == "dotnet";
        return [program, .. host ? [Environment.GetCommandLineArgs()[0]] : Array.Empty<string>(), .. arguments];
    }
}

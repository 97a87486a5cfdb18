using System.Diagnostics;
using System.Reflection;

namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>This program, to start it again.</summary>
internal static class OwnProgram
{
    /// <summary>Its version and commit.</summary>
    public static string Version { get; } = typeof(OwnProgram).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";

    /// <summary>
    /// A process of its own with these arguments, and no rank of this one's run: its input is a pipe that closes with this process however that
    /// ends, and it then stops.
    /// </summary>
    /// <param name="arguments">Of the program.</param>
    /// <param name="starter">A command that starts it; none: it is started itself.</param>
    public static ProcessStartInfo With(IEnumerable<string> arguments, params string[] starter)
    {
        string[] command = [.. starter, .. Command(arguments)];
        var start = new ProcessStartInfo(command[0], command[1..]) { RedirectStandardInput = true };
        LaunchPlace.Remove(start.Environment);
        start.Environment[Interruption.StopsWithInput] = "1";
        return start;
    }

    /// <summary>The program and arguments that start it.</summary>
    private static string[] Command(IEnumerable<string> arguments)
    {
        string program = Environment.ProcessPath!;
        bool host = Path.GetFileNameWithoutExtension(program) == "dotnet";
        return [program, .. host ? [Environment.GetCommandLineArgs()[0]] : Array.Empty<string>(), .. arguments];
    }
}

using System.Diagnostics;
using System.Reflection;

namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>This program, for starting it as a child process and for naming commands to the user.</summary>
internal static class SelfProcess
{
    /// <summary>The environment variable in which the scripts that start this program say how they were called.</summary>
    public const string CalledAs = "IMTA_CALLED_AS";

    private const string Host = "dotnet";

    /// <summary>Its version and commit.</summary>
    public static string Version { get; }
        = typeof(SelfProcess).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";

    /// <summary>
    /// A command to paste into the shell: the program as it was called (by its bare name if it is on the PATH), and the arguments, quoted.
    /// </summary>
    public static string CommandLine(params IEnumerable<string> arguments)
    {
        string program = Environment.GetEnvironmentVariable(CalledAs) is { Length: > 0 } script ? script : Environment.ProcessPath!;
        string folder = Path.GetDirectoryName(Path.GetFullPath(program)) ?? "";
        string[] path = Environment.GetEnvironmentVariable("PATH")?.Split(Path.PathSeparator) ?? [];
        bool isOnPath = path.Any(one => Path.TrimEndingDirectorySeparator(one) == folder) || IsLinkedOn(path, program);
        string name = isOnPath ? Path.GetFileNameWithoutExtension(program) : program;
        string[] assembly = IsHost(program) ? [Environment.GetCommandLineArgs()[0]] : [];
        return string.Join(' ', ((string[])[name, .. assembly, .. arguments]).Select(Quote));
    }

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
        return [program, .. IsHost(program) ? [Environment.GetCommandLineArgs()[0]] : Array.Empty<string>(), .. arguments];
    }

    /// <summary>Whether the shell finds the program by its bare name, possibly through a link, as for the host and a .NET tool.</summary>
    private static bool IsLinkedOn(string[] path, string program)
        => path.Select(one => new FileInfo(Path.Combine(one, Path.GetFileName(program)))).FirstOrDefault(file => file.Exists) is { } found
            && (found.ResolveLinkTarget(returnFinalTarget: true) ?? found).FullName == program;

    private static bool IsHost(string program) => Path.GetFileNameWithoutExtension(program) == Host;

    private static string Quote(string argument)
        => argument.Length > 0 && argument.All(c => char.IsLetterOrDigit(c) || "_-./:=,+@".Contains(c, StringComparison.Ordinal))
            ? argument
            : OperatingSystem.IsWindows() ? $"\"{argument}\"" : $"'{argument.Replace("'", @"'\''", StringComparison.Ordinal)}'";
}

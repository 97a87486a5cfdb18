using System.Diagnostics;

namespace Imta.MetaWeight.Experiments;

/// <summary>This program, to start it again.</summary>
internal static class OwnProgram
{
    /// <summary>A process with these arguments, whose input is a pipe that closes with this process however that ends, and which then stops.</summary>
    public static ProcessStartInfo With(IEnumerable<string> arguments)
    {
        string program = Environment.ProcessPath!;
        bool host = Path.GetFileNameWithoutExtension(program) == "dotnet";
        var start = new ProcessStartInfo(program, [.. host ? [Environment.GetCommandLineArgs()[0]] : Array.Empty<string>(), .. arguments]) { RedirectStandardInput = true };
        start.Environment[Commands.Interruption.StopsWithInput] = "1";
        return start;
    }
}

using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.Json;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Diagnosis;

namespace Imta.MetaWeight.Experiments.Runs;

/// <summary>What a run ran on: <c>environment.json</c>.</summary>
internal static class EnvironmentReport
{
    private static readonly JsonSerializerOptions Format = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    public static string Json(Settings settings, IReadOnlyList<string> commandLine, DateTime start) => JsonSerializer.Serialize(
        new
        {
            Version = typeof(EnvironmentReport).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion,
            Start = start.ToUniversalTime().ToString("yyyy-MM-ddTHH:mm:ssZ", System.Globalization.CultureInfo.InvariantCulture),
            CommandLine = commandLine,
            Dotnet = RuntimeInformation.FrameworkDescription,
            OperatingSystem = RuntimeInformation.OSDescription,
            Architecture = RuntimeInformation.OSArchitecture.ToString(),
            Processor = HostFacts.ProcessorName(),
            Cores = System.Environment.ProcessorCount,
            Libtorch = __version__,
            LibtorchFolder = System.Environment.GetEnvironmentVariable("LIBTORCH"),
            Threads = get_num_threads(),
            settings.Device,
        },
        Format) + "\n";

    /// <summary>The most memory that the process has had, in MiB.</summary>
    public static double PeakMemoryMib()
    {
        using var process = System.Diagnostics.Process.GetCurrentProcess();
        return process.PeakWorkingSet64 / (1024.0 * 1024.0);
    }
}

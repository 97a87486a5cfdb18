using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Experiments.Runs;

/// <summary>The environment of a run: <c>environment.json</c>.</summary>
internal static class EnvironmentReport
{
    private static readonly JsonSerializerOptions Format
        = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    /// <param name="settings">The run's settings.</param>
    /// <param name="commandLine">The arguments that started it.</param>
    /// <param name="start">When.</param>
    /// <param name="images">The fingerprint of its data set.</param>
    /// <param name="initialWeights">Its starting weights' file; null: none.</param>
    public static string Json(
        Settings settings, IReadOnlyList<string> commandLine, DateTime start, string? images, SourceFile? initialWeights)
        => JsonSerializer.Serialize(
        new
        {
            Version = SelfProcess.Version,
            Start = start.ToUniversalTime().ToString("yyyy-MM-ddTHH:mm:ssZ", System.Globalization.CultureInfo.InvariantCulture),
            CommandLine = commandLine,
            Dotnet = RuntimeInformation.FrameworkDescription,
            OperatingSystem = RuntimeInformation.OSDescription,
            Architecture = RuntimeInformation.OSArchitecture.ToString(),
            Processor = Machine.ProcessorName(),
            Cores = System.Environment.ProcessorCount,
            Libtorch = TorchLibraries.Version,
            LibtorchFolder = System.Environment.GetEnvironmentVariable("LIBTORCH"),
            Threads = get_num_threads(),
            settings.Device,
            Images = images,
            InitialWeights = initialWeights,
        },
        Format) + "\n";

    /// <summary>The recorded fingerprint of a run's data set (<see cref="Data.RunData.Fingerprint"/>); null if missing.</summary>
    public static string? ReadFingerprint(string path) => Read(path, "images");

    /// <summary>Whether there is such a file of a run, and not any other of that name.</summary>
    public static bool IsOfRun(string path) => Read(path, "version") is not null && Read(path, "dotnet") is not null;

    /// <summary>The peak memory of the process, in MiB.</summary>
    public static double PeakMemoryMib()
    {
        using var process = System.Diagnostics.Process.GetCurrentProcess();
        return process.PeakWorkingSet64 / (1024.0 * 1024.0);
    }

    private static string? Read(string path, string key)
    {
        try
        {
            return JsonNode.Parse(File.ReadAllText(path))?[key]?.GetValue<string>();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException or InvalidOperationException
            or ArgumentException) // a key may be there twice
        {
            return null;
        }
    }
}

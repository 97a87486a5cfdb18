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
    /// <param name="start">When it started.</param>
    /// <param name="images">The fingerprint of its data set.</param>
    /// <param name="initialWeights">The file of its starting weights; null: none.</param>
    /// <param name="extends">The run that it extends; null: none.</param>
    public static string Json(
        Settings settings, IReadOnlyList<string> commandLine, DateTime start, string? images, SourceFile? initialWeights,
        ExtendedFrom? extends)
        => JsonSerializer.Serialize(
        new
        {
            Version = SelfProcess.Version,
            Start = Utc(start),
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
            Extends = extends,
            Sessions = new[] { new Session(Utc(start), System.Environment.MachineName, extends?.Epoch ?? 0) },
            TrainingSeconds = (double?)null,
        },
        Format) + "\n";

    /// <summary>Records that a run is resumed now, on this machine; a file that cannot be read stays as it is.</summary>
    /// <param name="path">The run's file.</param>
    /// <param name="epoch">Epochs that are done.</param>
    public static void AddSession(string path, int epoch) => Change(path, content =>
    {
        if (content["sessions"] is not JsonArray sessions)
        {
            content["sessions"] = sessions = [];
        }

        sessions.Add(JsonSerializer.SerializeToNode(new Session(Utc(DateTime.Now), System.Environment.MachineName, epoch), Format));
        content["training_seconds"] = null;
    });

    /// <summary>Records the time of all epochs of a run that has ended; a file that cannot be read stays as it is.</summary>
    /// <param name="path">The run's file.</param>
    /// <param name="seconds">Training and validation, over all sessions.</param>
    /// <returns>The number of sessions; null: unknown.</returns>
    public static int? Finish(string path, double seconds)
    {
        int? sessions = null;
        Change(path, content =>
        {
            content["training_seconds"] = Math.Round(seconds, 3);
            sessions = (content["sessions"] as JsonArray)?.Count;
        });
        return sessions;
    }

    /// <summary>The file that a run's starting weights come from; null: none, or not known.</summary>
    public static SourceFile? ReadInitialWeights(string path) => Guarded(
        () => JsonNode.Parse(File.ReadAllText(path))?["initial_weights"]?.Deserialize<SourceFile>(Format));

    /// <summary>The recorded fingerprint of a run's data set (<see cref="Data.RunData.Fingerprint"/>); null if missing.</summary>
    public static string? ReadFingerprint(string path) => Read(path, "images");

    /// <summary>Whether the file exists and is a run's, not another file of the same name.</summary>
    public static bool IsOfRun(string path) => Read(path, "version") is not null && Read(path, "dotnet") is not null;

    /// <summary>The peak memory of the process, in MiB.</summary>
    public static double PeakMemoryMib()
    {
        using var process = System.Diagnostics.Process.GetCurrentProcess();
        return process.PeakWorkingSet64 / (1024.0 * 1024.0);
    }

    private static string Utc(DateTime time)
        => time.ToUniversalTime().ToString("yyyy-MM-ddTHH:mm:ssZ", System.Globalization.CultureInfo.InvariantCulture);

    private static void Change(string path, Action<JsonObject> change)
    {
        string? text = Guarded(() =>
        {
            JsonObject content = JsonNode.Parse(File.ReadAllText(path)) as JsonObject ?? throw new JsonException();
            change(content);
            return content.ToJsonString(Format) + "\n";
        });
        if (text is not null)
        {
            AtomicFile.WriteText(path, text);
        }
    }

    private static string? Read(string path, string key)
        => Guarded(() => JsonNode.Parse(File.ReadAllText(path))?[key]?.GetValue<string>());

    private static T? Guarded<T>(Func<T?> read)
        where T : class
    {
        try
        {
            return read();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException or InvalidOperationException
            or ArgumentException) // a key may be duplicated
        {
            return null;
        }
    }

    /// <summary>A session of a run: the process that started or resumed it.</summary>
    /// <param name="Start">UTC.</param>
    /// <param name="Host">The machine of rank 0.</param>
    /// <param name="Epoch">Epochs that were done before it.</param>
    private sealed record Session(string Start, string Host, int Epoch);
}

/// <summary>A file that a run starts from, in <c>environment.json</c>.</summary>
/// <param name="Path">Its full path.</param>
/// <param name="Sha256">The hash of its content, in hexadecimal.</param>
internal sealed record SourceFile(string Path, string Sha256);

/// <summary>The run that another one extends, in <c>environment.json</c>.</summary>
/// <param name="Path">Its folder's full path.</param>
/// <param name="Epoch">Its number of epochs, after which the longer run continues.</param>
internal sealed record ExtendedFrom(string Path, int Epoch);

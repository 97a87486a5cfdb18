using Imta.MetaWeight.Backbones.Kernels;

namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>The libtorch of this process.</summary>
internal static class Libtorch
{
    /// <summary>Loads it, before any TorchSharp API is used.</summary>
    /// <exception cref="UsageException">libtorch cannot be loaded.</exception>
    public static void Load()
    {
        try
        {
            TorchLibraries.Prepare();
            InitializeDeviceType(DeviceType.CPU);
        }
        catch (Exception e) when (e is DllNotFoundException or NotSupportedException or IOException
            or TypeInitializationException or BadImageFormatException)
        {
            throw new UsageException($"libtorch cannot be used: {Reason(e)}", e);
        }
    }

    /// <summary>Why libtorch could not be loaded, in one line: the root cause, which TorchSharp and .NET report as a long trace.</summary>
    public static string Reason(Exception exception)
    {
        while (exception is TypeInitializationException { InnerException: { } cause })
        {
            exception = cause;
        }

        string message = exception.Message;
        string? missing = message.Split('\n').Select(line => line.Trim())
            .FirstOrDefault(line => line.Contains(": cannot open shared object file", StringComparison.Ordinal));
        return message.Contains("Trace from LoadNativeBackend", StringComparison.Ordinal) // of TorchSharp's search, 4 KB
            ? $"there is none in {AppContext.BaseDirectory}"
            : missing ?? string.Join(' ', message.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
    }
}

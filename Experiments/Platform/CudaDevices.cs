using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;

namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>
/// The CUDA devices visible to this process, by the identifiers used by <c>CUDA_VISIBLE_DEVICES</c> and <c>nvidia-smi</c>.
/// </summary>
internal static class CudaDevices
{
    /// <summary>The variable that limits a process to some of a machine's devices: a comma-separated list of indices or names.</summary>
    public const string Variable = "CUDA_VISIBLE_DEVICES";

    private const string Tool = "nvidia-smi"; // comes with NVIDIA's driver
    private const long Mib = 1 << 20;

    /// <summary>
    /// The identifiers, in the order of libtorch's device indices; all devices of the machine if the variable is not set.
    /// </summary>
    public static IReadOnlyList<string> Names => Environment.GetEnvironmentVariable(Variable) is { } visible
        ? visible.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
        : [.. Query("--query-gpu=index").Select(line => line.Trim())];

    /// <summary>The free memory of a device in bytes, from nvidia-smi; null if unknown.</summary>
    /// <param name="number">libtorch's device index.</param>
    public static long? FreeMemory(int number)
        => Names.ElementAtOrDefault(number) is { } name
            && Query("--query-gpu=memory.free", "--id=" + name) is [var line]
                && long.TryParse(line, NumberStyles.Integer, CultureInfo.InvariantCulture, out long mib)
            ? mib * Mib
            : null;

    /// <summary>The output lines of a query; empty if the tool is missing or fails.</summary>
    private static string[] Query(params string[] question)
    {
        try
        {
            var start = new ProcessStartInfo(
                Tool, [.. question, "--format=csv,noheader,nounits"])
            { RedirectStandardOutput = true, RedirectStandardError = true };
            using Process process = Process.Start(start)!;
            process.ErrorDataReceived += (_, _) => { };
            process.BeginErrorReadLine();
            string answer = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0 ? answer.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries) : [];
        }
        catch (Win32Exception)
        {
            return []; // not installed
        }
    }
}

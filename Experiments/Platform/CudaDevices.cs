using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;

namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>The CUDA devices that this process may use, by the names that <c>CUDA_VISIBLE_DEVICES</c> and <c>nvidia-smi</c> have for them.</summary>
internal static class CudaDevices
{
    /// <summary>The variable that limits a process to some of a machine's devices: numbers or names with commas between.</summary>
    public const string Variable = "CUDA_VISIBLE_DEVICES";

    private const string Tool = "nvidia-smi"; // NVIDIA's driver brings it
    private const long Mib = 1 << 20;

    /// <summary>The names, in the order of libtorch's numbers; without the variable all of the machine's.</summary>
    public static IReadOnlyList<string> Names => Environment.GetEnvironmentVariable(Variable) is { } visible
        ? visible.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
        : [.. Ask("--query-gpu=index").Select(line => line.Trim())];

    /// <summary>The bytes of memory that a device has left, by NVIDIA's tool; null where it does not tell.</summary>
    /// <param name="number">libtorch's.</param>
    public static long? FreeMemory(int number)
        => Names.ElementAtOrDefault(number) is { } name
            && Ask("--query-gpu=memory.free", "--id=" + name) is [var line] && long.TryParse(line, NumberStyles.Integer, CultureInfo.InvariantCulture, out long mib)
            ? mib * Mib
            : null;

    /// <summary>The lines of an answer; none where the tool is not there or has no answer.</summary>
    private static string[] Ask(params string[] question)
    {
        try
        {
            var start = new ProcessStartInfo(Tool, [.. question, "--format=csv,noheader,nounits"]) { RedirectStandardOutput = true, RedirectStandardError = true };
            using Process process = Process.Start(start)!;
            process.ErrorDataReceived += (_, _) => { };
            process.BeginErrorReadLine();
            string answer = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0 ? answer.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries) : [];
        }
        catch (Win32Exception)
        {
            return []; // no such program
        }
    }
}

using System.Diagnostics;
using System.Text.Json;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Benchmarks;

/// <summary>
/// The peak memory of a process while it ran steps of one kind: resident host memory, or memory taken from a CUDA device. libtorch
/// returns none of the latter, so what it holds at the end is the peak.
/// </summary>
/// <param name="PeakMib">Total, in MiB.</param>
/// <param name="BaselineMib">Of that, memory before the network was created: the runtime, libtorch and a batch.</param>
internal sealed record PeakMemory(double PeakMib, double BaselineMib)
{
    private const int Steps = 3;

    /// <summary>The memory of the steps, in MiB.</summary>
    public double AboveMib => PeakMib - BaselineMib;

    /// <summary>Measures this process, which must not have run steps before.</summary>
    /// <param name="bench">Runs the steps.</param>
    /// <param name="kind">The kind of step.</param>
    /// <param name="freeAtStart">Free bytes of the device before this process used it; null: measure host memory.</param>
    /// <exception cref="UsageException">The device does not report its free memory.</exception>
    public static PeakMemory MeasureThisProcess(StepBench bench, StepKind kind, long? freeAtStart)
    {
        double Peak() => freeAtStart is { } free ? (free - FreeOnDevice()) / (double)ByteSize.Mib : EnvironmentReport.PeakMemoryMib();
        double baseline = Peak();
        BenchmarkCase contender = bench.Contender(kind);
        for (int step = 0; step < Steps; step++)
        {
            contender.Measure();
        }

        return new PeakMemory(Peak(), baseline);
    }

    /// <summary>Free bytes of the first CUDA device; the memory of other programs is not free.</summary>
    /// <exception cref="UsageException">It does not report it.</exception>
    public static long FreeOnDevice()
        => CudaDevices.FreeMemory(0)
            ?? throw new UsageException("nvidia-smi does not report the device's free memory; skip this with --no-memory");

    /// <summary>
    /// Measures a fresh process: this program's command line with additional arguments that make it print a <see cref="PeakMemory"/>.
    /// </summary>
    /// <param name="arguments">The additional arguments.</param>
    /// <param name="format">The format of its output.</param>
    /// <exception cref="IOException">It failed.</exception>
    public static PeakMemory MeasureChild(IEnumerable<string> arguments, JsonSerializerOptions format)
    {
        ProcessStartInfo start = SelfProcess.StartInfo([.. Environment.GetCommandLineArgs()[1..], .. arguments]);
        (start.RedirectStandardOutput, start.RedirectStandardError) = (true, true);
        using Process child = Process.Start(start)!;
        Task<string> error = child.StandardError.ReadToEndAsync();
        string output = child.StandardOutput.ReadToEnd();
        child.WaitForExit();
        return child.ExitCode == 0
            ? JsonSerializer.Deserialize<PeakMemory>(output, format)!
            : throw new IOException($"the process whose memory was measured exited with code {child.ExitCode}: {error.Result.Trim()}");
    }
}

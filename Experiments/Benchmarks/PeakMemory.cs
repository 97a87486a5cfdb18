using System.Diagnostics;
using System.Text.Json;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Benchmarks;

/// <summary>
/// The most memory that a process had while it made steps of one kind: resident in the host, or on a CUDA device taken from it, for libtorch
/// gives none back.
/// </summary>
/// <param name="PeakMib">In all, in MiB.</param>
/// <param name="BaselineMib">Of that, before there was a network: the runtime, libtorch and a batch.</param>
internal sealed record PeakMemory(double PeakMib, double BaselineMib)
{
    private const int Steps = 3;

    /// <summary>What the steps took, in MiB.</summary>
    public double AboveMib => PeakMib - BaselineMib;

    /// <summary>Of this process, which must not have made steps before.</summary>
    /// <param name="bench">Makes the steps.</param>
    /// <param name="kind">Which.</param>
    /// <param name="freeAtStart">Bytes that the device had left before this process used it; null: the host's memory is meant.</param>
    /// <exception cref="UsageException">The device does not tell what it has left.</exception>
    public static PeakMemory OfThisProcess(StepBench bench, StepKind kind, long? freeAtStart)
    {
        double Peak() => freeAtStart is { } free ? (free - FreeOnDevice()) / (double)ByteSize.Mib : EnvironmentReport.PeakMemoryMib();
        double baseline = Peak();
        Contender contender = bench.Contender(kind);
        for (int step = 0; step < Steps; step++)
        {
            contender.Measure();
        }

        return new PeakMemory(Peak(), baseline);
    }

    /// <summary>Bytes that the first CUDA device has left, other programs' being none of ours.</summary>
    /// <exception cref="UsageException">It does not tell.</exception>
    public static long FreeOnDevice() => CudaDevices.FreeMemory(0) ?? throw new UsageException("nvidia-smi does not say what memory the device has left; leave that out by --no-memory");

    /// <summary>Of a fresh process: this program's command line with more arguments, which make it print a <see cref="PeakMemory"/>.</summary>
    /// <param name="arguments">The further arguments.</param>
    /// <param name="format">Of what it prints.</param>
    /// <exception cref="IOException">It did not end well.</exception>
    public static PeakMemory OfChild(IEnumerable<string> arguments, JsonSerializerOptions format)
    {
        ProcessStartInfo start = OwnProgram.With([.. Environment.GetCommandLineArgs()[1..], .. arguments]);
        (start.RedirectStandardOutput, start.RedirectStandardError) = (true, true);
        using Process child = Process.Start(start)!;
        Task<string> error = child.StandardError.ReadToEndAsync();
        string output = child.StandardOutput.ReadToEnd();
        child.WaitForExit();
        return child.ExitCode == 0
            ? JsonSerializer.Deserialize<PeakMemory>(output, format)!
            : throw new IOException($"the process whose memory is measured ended with exit code {child.ExitCode}: {error.Result.Trim()}");
    }
}

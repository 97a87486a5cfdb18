using System.Diagnostics;
using System.Text.Json;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Benchmarks;

/// <summary>The most memory of the host that a process had resident while it made steps of one kind.</summary>
/// <param name="PeakMib">In all, in MiB.</param>
/// <param name="BaselineMib">Of that, before there was a network: the runtime, libtorch and a batch.</param>
internal sealed record PeakMemory(double PeakMib, double BaselineMib)
{
    private const int Steps = 3;

    /// <summary>What the steps took, in MiB.</summary>
    public double AboveMib => PeakMib - BaselineMib;

    /// <summary>Of this process, which must not have made steps before.</summary>
    public static PeakMemory OfThisProcess(StepBench bench, StepKind kind)
    {
        double baseline = EnvironmentReport.PeakMemoryMib();
        Contender contender = bench.Contender(kind);
        for (int step = 0; step < Steps; step++)
        {
            contender.Measure();
        }

        return new PeakMemory(EnvironmentReport.PeakMemoryMib(), baseline);
    }

    /// <summary>Of a fresh process: this program's command line with more arguments, which make it print a <see cref="PeakMemory"/>.</summary>
    /// <param name="arguments">The further arguments.</param>
    /// <param name="format">Of what it prints.</param>
    /// <exception cref="IOException">It did not end well.</exception>
    public static PeakMemory OfChild(IEnumerable<string> arguments, JsonSerializerOptions format)
    {
        using Process child = Process.Start(CommandLine(arguments))!;
        Task<string> error = child.StandardError.ReadToEndAsync();
        string output = child.StandardOutput.ReadToEnd();
        child.WaitForExit();
        return child.ExitCode == 0
            ? JsonSerializer.Deserialize<PeakMemory>(output, format)!
            : throw new IOException($"the process whose memory is measured ended with exit code {child.ExitCode}: {error.Result.Trim()}");
    }

    private static ProcessStartInfo CommandLine(IEnumerable<string> arguments)
    {
        // The first one is the program's assembly, also where an executable of its own has started it.
        string[] own = Environment.GetCommandLineArgs();
        string host = Environment.ProcessPath!;
        bool isDotnet = Path.GetFileNameWithoutExtension(host) == "dotnet";
        return new ProcessStartInfo(host, [.. own.Skip(isDotnet ? 0 : 1), .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true };
    }
}

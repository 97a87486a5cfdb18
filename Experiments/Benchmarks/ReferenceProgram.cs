using System.ComponentModel;
using System.Diagnostics;
using System.Text.Json;

namespace Imta.MetaWeight.Experiments.Benchmarks;

/// <summary>
/// A reference program that runs the same steps on request (<c>bench/pytorch_step.py --serve</c>): it prints <c>ready</c> and what it
/// measures, <c>{"half_batch": …, "classes": …, …}</c>, then answers each line <c>meta</c> or <c>plain</c> with <c>{"what": …, "seconds":
/// …}</c>.
/// </summary>
internal sealed class ReferenceProgram : IDisposable
{
    private static readonly TimeSpan ExitTimeout = TimeSpan.FromSeconds(2);

    private readonly Process _process;

    private ReferenceProgram(Process process) => _process = process;

    /// <summary>Starts a command in a shell and waits until it is ready.</summary>
    /// <param name="command">The command line.</param>
    /// <param name="expected">The parameters that must match: half batch, classes, exits, threads.</param>
    /// <exception cref="UsageException">It cannot be started, ends before it is ready, or measures something else.</exception>
    public static ReferenceProgram Start(string command, IReadOnlyDictionary<string, int> expected)
    {
        try
        {
            var start = new ProcessStartInfo("/bin/sh")
            {
                RedirectStandardInput = true,
                RedirectStandardOutput = true,
                ArgumentList = { "-c", command },
            };
            RankAssignment.RemoveFrom(start.Environment);
            var yardstick = new ReferenceProgram(Process.Start(start)!);
            if (yardstick.FindMismatch(expected) is not { } problem)
            {
                return yardstick;
            }

            yardstick.Dispose();
            throw new UsageException($"--against {command}: {problem}");
        }
        catch (Win32Exception e)
        {
            throw new UsageException($"--against {command}: it cannot be started ({e.Message})", e);
        }
    }

    /// <summary>The problem with the program's first line; null if none.</summary>
    private string? FindMismatch(IReadOnlyDictionary<string, int> expected)
    {
        const string Ready = "ready ";
        try
        {
            string line = _process.StandardOutput.ReadLine() ?? "";
            if (!line.StartsWith(Ready, StringComparison.Ordinal))
            {
                return "it did not print 'ready'; bench/README.md describes the protocol";
            }

            JsonElement given = JsonDocument.Parse(line[Ready.Length..]).RootElement;
            return expected.Where(entry => given.GetProperty(entry.Key).GetInt32() != entry.Value)
                .Select(entry => $"its {entry.Key} is {given.GetProperty(entry.Key)}, but here it is {entry.Value}: both must be equal")
                .FirstOrDefault();
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            return $"it did not report what it measures ({e.Message}); bench/README.md describes the protocol";
        }
    }

    /// <summary>Measures the seconds of one step.</summary>
    /// <param name="what"><c>meta</c> or <c>plain</c>.</param>
    /// <exception cref="UsageException">The program ended or gave an unexpected response.</exception>
    public double Measure(string what)
    {
        try
        {
            _process.StandardInput.WriteLine(what);
            _process.StandardInput.Flush();
            double seconds = JsonDocument.Parse(_process.StandardOutput.ReadLine() ?? "").RootElement.GetProperty("seconds").GetDouble();
            return double.IsFinite(seconds) ? seconds : throw new FormatException($"{seconds} is not a duration");
        }
        catch (Exception e) when (e is IOException or JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new UsageException($"the --against program did not answer '{what}' with a time in seconds ({e.Message})", e);
        }
    }

    public void Dispose()
    {
        _process.StandardInput.Close();
        if (!_process.WaitForExit(ExitTimeout))
        {
            _process.Kill(entireProcessTree: true);
        }

        _process.Dispose();
    }
}

using System.ComponentModel;
using System.Diagnostics;
using System.Text.Json;

namespace Imta.MetaWeight.Experiments.Benchmarks;

/// <summary>
/// Another program that does the same steps on demand (<c>bench/pytorch_step.py --serve</c>): it says <c>ready</c>, then answers each
/// line <c>meta</c> or <c>plain</c> with <c>{"what": …, "seconds": …}</c>.
/// </summary>
internal sealed class Yardstick : IDisposable
{
    private readonly Process _process;

    private Yardstick(Process process) => _process = process;

    /// <summary>Starts a command line by the shell and waits until it is ready.</summary>
    /// <exception cref="UsageException">It cannot be started, or ends before it is ready.</exception>
    public static Yardstick Start(string command)
    {
        try
        {
            var start = new ProcessStartInfo("/bin/sh") { RedirectStandardInput = true, RedirectStandardOutput = true, ArgumentList = { "-c", $"exec {command}" } };
            var yardstick = new Yardstick(Process.Start(start)!);
            return yardstick._process.StandardOutput.ReadLine() == "ready"
                ? yardstick
                : throw new UsageException($"--against {command}: it did not say 'ready'; bench/README.md says what such a program does");
        }
        catch (Win32Exception e)
        {
            throw new UsageException($"--against {command}: it cannot be started ({e.Message})", e);
        }
    }

    /// <summary>The seconds of one step.</summary>
    /// <param name="what"><c>meta</c> or <c>plain</c>.</param>
    /// <exception cref="UsageException">The program ended, or answered something else.</exception>
    public double Measure(string what)
    {
        try
        {
            _process.StandardInput.WriteLine(what);
            _process.StandardInput.Flush();
            return JsonDocument.Parse(_process.StandardOutput.ReadLine() ?? "").RootElement.GetProperty("seconds").GetDouble();
        }
        catch (Exception e) when (e is IOException or JsonException or KeyNotFoundException or InvalidOperationException)
        {
            throw new UsageException($"the program of --against did not answer '{what}' with its seconds ({e.Message})", e);
        }
    }

    public void Dispose()
    {
        _process.StandardInput.Close();
        if (!_process.WaitForExit(TimeSpan.FromSeconds(10)))
        {
            _process.Kill(entireProcessTree: true);
        }

        _process.Dispose();
    }
}

using System.Diagnostics;

namespace Imta.MetaWeight.Experiments.Sweeps;

/// <summary>A run of a sweep in a child process, which ends when this one does: its standard input is a pipe that then closes.</summary>
internal sealed class SweepProcess : IDisposable
{
    private const string Program = "imta: "; // prefix of its messages

    private readonly Process _process;
    private readonly StreamWriter _console;
    private readonly DeviceLease _devices;
    private readonly Lock _writing = new();
    private string? _lastError;

    /// <param name="run">The run.</param>
    /// <param name="arguments">The command's arguments.</param>
    /// <param name="console">The file to which its output is appended.</param>
    /// <param name="devices">The CUDA devices it may use; released when it has ended.</param>
    public SweepProcess(SweepRun run, string[] arguments, string console, DeviceLease devices)
    {
        (Run, _devices) = (run, devices);
        _console = new StreamWriter(console, append: true) { AutoFlush = true };
        ProcessStartInfo start = SelfProcess.StartInfo(arguments);
        (start.RedirectStandardOutput, start.RedirectStandardError) = (true, true);
        if (devices.Names.Count > 0)
        {
            start.Environment[CudaDevices.Variable] = string.Join(',', devices.Names);
        }

        _process = new Process { StartInfo = start };
        _process.OutputDataReceived += (_, line) => Write(line.Data, isError: false);
        _process.ErrorDataReceived += (_, line) => Write(line.Data, isError: true);
        _process.Start();
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    public SweepRun Run { get; }

    public bool HasExited => _process.HasExited;

    /// <summary>Asks the run to stop at a point where nothing is lost.</summary>
    public void RequestStop() => _process.StandardInput.Close();

    /// <summary>Waits for exit; returns the exit code and the last line on standard error that is not a warning.</summary>
    public (int Code, string? Message) WaitForExit()
    {
        _process.WaitForExit();
        _devices.Release();
        return (_process.ExitCode, _lastError);
    }

    public void Dispose()
    {
        _process.Dispose();
        _console.Dispose();
    }

    private void Write(string? line, bool isError)
    {
        if (line is null)
        {
            return;
        }

        lock (_writing)
        {
            _console.WriteLine(line);
            string message = line.StartsWith(Program, StringComparison.Ordinal) ? line[Program.Length..] : line;
            _lastError = isError && !message.StartsWith("warning: ", StringComparison.Ordinal) ? message : _lastError;
        }
    }
}

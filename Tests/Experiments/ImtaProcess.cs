using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Tests.Experiments;

/// <summary>The command line as a user runs it, in a folder of its own; in a process of its own but for <see cref="Run"/>.</summary>
internal sealed partial class ImtaProcess : IDisposable
{
    /// <summary>A network and data so small that an epoch takes a second or so.</summary>
    public static readonly string[] Tiny =
    [
        "--set", "data.trainLimit=80", "--set", "data.testLimit=40", "--set", "train.batch=16", "--set", "train.epochs=2",
        "--set", "model.msdnet.blocks=2", "--set", "model.msdnet.channels=4", "--set", "model.msdnet.growth=2",
        "--set", "meta.wpn.hidden=16", "--threads", "1",
    ];

    private const int Interrupts = 2;
    private const int Terminates = 15;
    private const int Stops = 19;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(4);
    private readonly Process _process;
    private readonly Task<string> _output;
    private readonly Task<string> _error;

    private ImtaProcess(string folder, string[] command, params (string Name, string Value)[] environment)
    {
        var start = new ProcessStartInfo(command[0], command[1..])
        {
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };

        start.Environment[SelfProcess.CalledAs] = "imta";
        start.Environment.Remove(TorchLibraries.VersionVariable); // which another test may have set in this process
        foreach ((string name, string value) in environment)
        {
            start.Environment[name] = value;
        }

        _process = Process.Start(start)!;
        _output = _process.StandardOutput.ReadToEndAsync();
        _error = _process.StandardError.ReadToEndAsync();
    }

    /// <summary>
    /// Runs a command to its end, in a process that may have run others before; one that starts the program itself has its own, as all
    /// have on Windows.
    /// </summary>
    public static Result Run(string folder, params string[] arguments)
        => arguments is ["sweep" or "doctor", ..] or ["bench", "meta-step" or "scale", ..] || HasRanks(folder, arguments)
            || OperatingSystem.IsWindows()
            ? Run(folder, [], arguments)
            : KeptProcess.Run(folder, arguments, Patience);

    private static bool HasRanks(string folder, string[] arguments)
    {
        int resumes = Array.IndexOf(arguments, "--resume") + 1;
        string config = Path.Combine(folder, resumes > 0 && resumes < arguments.Length ? arguments[resumes] : "", "config.yaml");
        return arguments.Any(argument => argument.Contains("processes", StringComparison.Ordinal))
            || (resumes > 0 && File.Exists(config) && !File.ReadAllLines(config).Contains("processes: 1"));
    }

    /// <summary>Runs a command to its end in a process of its own, with more environment variables.</summary>
    public static Result Run(string folder, (string Name, string Value)[] environment, params string[] arguments)
    {
        using var process = new ImtaProcess(folder, Imta(arguments), environment);
        return process.End();
    }

    /// <summary>Starts a command and returns at once.</summary>
    public static ImtaProcess Start(string folder, params string[] arguments) => new(folder, Imta(arguments));

    /// <summary>Starts a command, with more environment variables, and returns at once.</summary>
    public static ImtaProcess Start(string folder, (string Name, string Value)[] environment, string[] arguments)
        => new(folder, Imta(arguments), environment);

    /// <summary>Starts any program, with more environment variables, and returns at once.</summary>
    public static ImtaProcess StartCommand(string folder, string[] command, params (string Name, string Value)[] environment)
        => new(folder, command, environment);

    /// <summary>The command line of the program with some arguments.</summary>
    public static string[] Imta(params string[] arguments) => ["dotnet", Path.Combine(AppContext.BaseDirectory, "imta.dll"), .. arguments];

    /// <summary>The command line of the tests' own program with some arguments.</summary>
    public static string[] Tests(params string[] arguments) => ["dotnet", typeof(ImtaProcess).Assembly.Location, .. arguments];

    /// <summary>Waits until <paramref name="condition"/> holds while the command runs.</summary>
    public void WaitUntil(Func<bool> condition)
    {
        var clock = Stopwatch.StartNew();
        while (!condition())
        {
            if (_process.HasExited || clock.Elapsed > Patience)
            {
                if (condition())
                {
                    return;
                }

                throw new InvalidOperationException($"what was waited for did not come; the command said: {End().All}");
            }

            Thread.Sleep(20);
        }
    }

    /// <summary>The exit code of a command after <see cref="Interrupt"/>.</summary>
    public static int Interrupted => IgnoresInterrupts() ? 128 + Terminates : 128 + Interrupts;

    public bool HasEnded => _process.HasExited;

    /// <summary>Kills it and waits until it is gone, with its lock on a folder.</summary>
    public void Kill()
    {
        _process.Kill();
        _process.WaitForExit();
    }

    /// <summary>Sends SIGTERM.</summary>
    public void Terminate() => Signal(_process.Id, Terminates).Should().Be(0);

    /// <summary>
    /// Sends SIGINT, as Ctrl-C does; SIGTERM where a shell has started these tests in the background, which ignores SIGINT.
    /// </summary>
    public void Interrupt() => TryInterrupt().Should().BeTrue();

    /// <summary>Like <see cref="Interrupt"/>; false if there is no such process any more.</summary>
    public bool TryInterrupt() => Signal(_process.Id, IgnoresInterrupts() ? Terminates : Interrupts) == 0;

    /// <summary>Sends SIGSTOP: a process that hangs.</summary>
    public static void Stop(int process) => Signal(process, Stops).Should().Be(0);

    public Result End()
    {
        if (!_process.WaitForExit(Patience))
        {
            _process.Kill();
            throw new TimeoutException($"the command did not end; it said: {_output.Result}{_error.Result}");
        }

        return new Result(_process.ExitCode, _output.Result, _error.Result);
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
        }

        _process.Dispose();
    }

    /// <summary>Whether this process, and so its children, ignores SIGINT.</summary>
    private static bool IgnoresInterrupts()
    {
        string mask = File.ReadLines("/proc/self/status").Single(line => line.StartsWith("SigIgn:", StringComparison.Ordinal))
            .Split('\t')[1];
        return (ulong.Parse(mask, NumberStyles.HexNumber, CultureInfo.InvariantCulture) & (1UL << (Interrupts - 1))) != 0;
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Signal(int process, int signal);

    internal sealed record Result(int Code, string Output, string Error)
    {
        public string All => $"exit code {Code}\n{Output}{Error}";
    }
}

/// <summary>A folder that goes when the test ends.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public TemporaryFolder() => Directory.CreateDirectory(Path);

    public string Path { get; } = System.IO.Path.Combine(System.IO.Path.GetTempPath(), $"imta-test-{Guid.NewGuid():N}");

    public string In(params string[] parts) => System.IO.Path.Combine([Path, .. parts]);

    /// <summary>Runs a command here, which has to end with that exit code.</summary>
    public ImtaProcess.Result Run(int code, params string[] arguments)
    {
        ImtaProcess.Result result = ImtaProcess.Run(Path, arguments);
        result.Code.Should().Be(code, result.Code == code ? "" : Failures() + result.All);
        return result;
    }

    /// <summary>The start of the stack traces that failed runs here have logged.</summary>
    private string Failures() => string.Join('\n', Directory.GetFiles(Path, "log.txt", SearchOption.AllDirectories)
        .SelectMany(log => File.ReadLines(log).SkipWhile(line => !line.Contains("the run failed")).Take(6)));

    /// <summary>The rows of a table here.</summary>
    public T[] Read<T>(params string[] file) => [.. CsvTable.Read<T>(In(file))];

    public void Dispose() => Directory.Delete(Path, recursive: true);
}

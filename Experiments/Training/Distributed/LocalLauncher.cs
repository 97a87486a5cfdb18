using System.Diagnostics;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Training.Distributed;

/// <summary>Ranks on this machine that run this program's own command, started by the MPI library's launcher.</summary>
internal static class LocalLauncher
{
    /// <summary>How to install MPI.</summary>
    public const string MpiInstallHint = "as root: apt-get install openmpi-bin (Debian, Ubuntu), or load your cluster's MPI module";
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan ExitGracePeriod = TimeSpan.FromSeconds(3); // Open MPI's launcher ends 2 s after its ranks

    /// <summary>Trains a run with local ranks, each of which runs this command again; returns the exit code.</summary>
    /// <param name="size">The number of ranks.</param>
    /// <param name="arguments">The command's arguments.</param>
    /// <param name="run">The run's folder, for messages.</param>
    /// <param name="stop">Asks rank 0 to stop.</param>
    public static int Train(int size, IEnumerable<string> arguments, string run, StopSignal stop)
    {
        int code = Run(size, arguments, stop);
        if (StopSignal.IsStop(code))
        {
            return stop.Token.IsCancellationRequested ? StopSignal.ExitCode : code;
        }

        if (code is 0 or 1 or UsageException.ExitCode)
        {
            return code;
        }

        string advice = RunFolder.CanResume(run)
            ? $"resume with {SelfProcess.CommandLine("train", "--resume", run)}"
            : "nothing has been written yet";
        Failure.WriteError(
            FormattableString.Invariant($"a rank was killed by a signal or exited without a message (mpirun exit code {code}); {advice}"));
        return 1;
    }

    /// <summary>Runs the ranks to completion and returns the launcher's exit code, which is that of a rank.</summary>
    /// <param name="size">The number of ranks.</param>
    /// <param name="arguments">The command's arguments.</param>
    /// <param name="stop">Asks rank 0 to stop by closing its input; rank 0 informs the others.</param>
    /// <exception cref="UsageException">There is no MPI library here, or it has no launcher.</exception>
    public static int Run(int size, IEnumerable<string> arguments, StopSignal stop)
    {
        MpiLibrary library = MpiLibrary.Find(MpiFamily.OpenMpi, MpiFamily.Mpich) ?? throw new UsageException(
            $"multi-process training needs MPI, but no MPI library was found; {MpiInstallHint}, or set "
                + $"{MpiLibrary.Variable}=/path/to/libmpi.so");
        string launcher = MpiLauncher.FindFor(library) ?? throw new UsageException(
            $"{library.Version} ({library.Path}) was found, but no matching mpirun next to it or on the PATH; {MpiInstallHint}");
        ProcessStartInfo start = SelfProcess.StartInfo(arguments, [.. NewSession(), launcher, .. MpiLauncher.Arguments(library, size)]);
        start.Environment[MpiLibrary.Variable] = library.Path;
        foreach ((string name, string value) in MpiLauncher.Variables())
        {
            start.Environment[name] = value;
        }

        start.RedirectStandardError = true;
        using Process process = Process.Start(start)!;
        var errors = new LauncherErrors();
        process.ErrorDataReceived += (_, line) => errors.Append(line.Data);
        process.BeginErrorReadLine();
        stop.OnSecondSignal = process.Kill;
        long stopRequestedAt = 0;
        while (!process.WaitForExit(PollInterval))
        {
            if (stop.Token.IsCancellationRequested && stopRequestedAt == 0)
            {
                stopRequestedAt = Stopwatch.GetTimestamp();
                process.StandardInput.Close();
            }

            if (stopRequestedAt > 0 && Stopwatch.GetElapsedTime(stopRequestedAt) > ExitGracePeriod)
            {
                stopRequestedAt = long.MaxValue; // once
                Failure.WriteError("waiting for the ranks to stop; press Ctrl-C (or send SIGTERM) again to kill them");
            }
        }

        process.WaitForExit(); // and for its last output lines
        stop.OnSecondSignal = null;
        if (process.ExitCode is not (0 or UsageException.ExitCode) && !StopSignal.IsStop(process.ExitCode))
        {
            errors.ShowNotices();
        }

        return process.ExitCode;
    }

    /// <summary>Keeps the terminal's Ctrl-C from reaching mpirun, which would kill the ranks before they have saved.</summary>
    private static string[] NewSession() => File.Exists("/usr/bin/setsid") ? ["/usr/bin/setsid"] : [];

    /// <summary>
    /// The standard error of the ranks and of Open MPI's launcher, whose multi-line notices stand between rules: they say that a rank ended
    /// with an exit code, which adds nothing to the rank's own message.
    /// </summary>
    private sealed class LauncherErrors
    {
        private const string Rule = "----------";

        private readonly List<string> _notices = [];
        private bool _inNotice, _rankReported;

        public void Append(string? line)
        {
            bool isRule = line?.StartsWith(Rule, StringComparison.Ordinal) == true;
            bool isOfRank = line?.StartsWith("imta: ", StringComparison.Ordinal) == true;
            if (line is not null && (_inNotice || isRule) && !isOfRank)
            {
                _notices.Add(line);
            }
            else if (line is not null)
            {
                _rankReported |= isOfRank;
                Console.Error.WriteLine(line);
            }

            _inNotice ^= isRule;
        }

        public void ShowNotices() => (_rankReported ? [] : _notices).ForEach(Console.Error.WriteLine);
    }
}

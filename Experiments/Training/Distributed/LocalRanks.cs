using System.Diagnostics;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Training.Distributed;

/// <summary>Ranks on this machine that run this program's own command, started by the MPI library's launcher.</summary>
internal static class LocalRanks
{
    /// <summary>What to do without MPI.</summary>
    public const string ToGetMpi = "as root: apt-get install openmpi-bin (Debian, Ubuntu), or load your cluster's MPI module";
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan UntilTold = TimeSpan.FromSeconds(3); // Open MPI's launcher ends 2 s after its ranks

    /// <summary>Trains a run with local ranks, each of which runs this command again; returns the exit code.</summary>
    /// <param name="size">The number of ranks.</param>
    /// <param name="arguments">The command's arguments.</param>
    /// <param name="run">The run's folder, for messages.</param>
    /// <param name="stop">Asks rank 0 to stop.</param>
    public static int Train(int size, IEnumerable<string> arguments, string run, Interruption stop)
    {
        int code = Run(size, arguments, stop);
        if (code is 0 or 1 or UsageException.ExitCode or Interruption.ExitCode)
        {
            return code;
        }

        string advice = RunFolder.CanGoOn(run) ? $"resume with imta train --resume {run}" : "nothing has been written yet";
        Failure.OnConsole(FormattableString.Invariant($"a rank was killed by a signal or exited without a message (mpirun exit code {code}); {advice}"));
        return 1;
    }

    /// <summary>Runs the ranks to completion and returns the launcher's exit code, which is that of a rank.</summary>
    /// <param name="size">The number of ranks.</param>
    /// <param name="arguments">The command's arguments.</param>
    /// <param name="stop">Asks rank 0 to stop by closing its input; rank 0 informs the others.</param>
    /// <exception cref="UsageException">There is no MPI library here, or it has no launcher.</exception>
    public static int Run(int size, IEnumerable<string> arguments, Interruption stop)
    {
        MpiLibrary library = MpiLibrary.Find(MpiFamily.OpenMpi, MpiFamily.Mpich) ?? throw new UsageException(
            $"multi-process training needs MPI, but no MPI library was found; {ToGetMpi}, or set {MpiLibrary.Variable}=/path/to/libmpi.so");
        string launcher = MpiLauncher.Of(library) ?? throw new UsageException(
            $"{library.Version} ({library.Path}) was found, but no matching mpirun next to it or on the PATH; {ToGetMpi}");
        ProcessStartInfo start = OwnProgram.With(arguments, [.. OwnSession(), launcher, .. MpiLauncher.Arguments(library, size)]);
        start.Environment[MpiLibrary.Variable] = library.Path;
        foreach ((string name, string value) in MpiLauncher.Variables())
        {
            start.Environment[name] = value;
        }

        start.RedirectStandardError = true;
        using Process process = Process.Start(start)!;
        var errors = new LauncherErrors();
        process.ErrorDataReceived += (_, line) => errors.Take(line.Data);
        process.BeginErrorReadLine();
        stop.AtOnce = process.Kill;
        long asked = 0;
        while (!process.WaitForExit(Look))
        {
            if (stop.Token.IsCancellationRequested && asked == 0)
            {
                asked = Stopwatch.GetTimestamp();
                process.StandardInput.Close();
            }

            if (asked > 0 && Stopwatch.GetElapsedTime(asked) > UntilTold)
            {
                asked = long.MaxValue; // once
                Failure.OnConsole("waiting for the ranks to stop; press Ctrl-C (or send SIGTERM) again to kill them");
            }
        }

        process.WaitForExit(); // and for its last output lines
        stop.AtOnce = null;
        if (process.ExitCode is not (0 or UsageException.ExitCode or Interruption.ExitCode))
        {
            errors.ShowNotices();
        }

        return process.ExitCode;
    }

    /// <summary>A terminal's Ctrl-C goes to all its processes, and mpirun would kill the ranks before they have saved.</summary>
    private static string[] OwnSession() => File.Exists("/usr/bin/setsid") ? ["/usr/bin/setsid"] : [];

    /// <summary>
    /// The standard error of the ranks and of Open MPI's launcher, whose multi-line notices stand between rules: they say that a rank ended
    /// with an exit code, which adds nothing to the rank's own message.
    /// </summary>
    private sealed class LauncherErrors
    {
        private const string Rule = "----------";

        private readonly List<string> _notices = [];
        private bool _inNotice, _rankSpoke;

        public void Take(string? line)
        {
            bool isRule = line?.StartsWith(Rule, StringComparison.Ordinal) == true;
            bool isOfRank = line?.StartsWith("imta: ", StringComparison.Ordinal) == true;
            if (line is not null && (_inNotice || isRule) && !isOfRank)
            {
                _notices.Add(line);
            }
            else if (line is not null)
            {
                _rankSpoke |= isOfRank;
                Console.Error.WriteLine(line);
            }

            _inNotice ^= isRule;
        }

        public void ShowNotices() => (_rankSpoke ? [] : _notices).ForEach(Console.Error.WriteLine);
    }
}

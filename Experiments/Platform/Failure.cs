using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>An exception whose message is the line for the user, and which decides the exit code.</summary>
internal interface IExitCode
{
    int ExitCode { get; }
}

/// <summary>How a command that failed ends: one line, and an exit code.</summary>
internal static class Failure
{
    private const int Failed = 1;

    /// <summary>The line, on the error output.</summary>
    public static void OnConsole(string line) => Console.Error.WriteLine($"imta: {line}");

    /// <summary>Says why, and returns the exit code.</summary>
    /// <param name="failure">What ended the command.</param>
    /// <param name="say">Takes the line.</param>
    public static int Tell(Exception failure, Action<string> say)
    {
        (string line, int code) = failure switch
        {
            OperationCanceledException => ("stopped", Interruption.ExitCode),
            UsageException => (failure.Message, UsageException.ExitCode),
            IExitCode told => (failure.Message, told.ExitCode),
            IOException or UnauthorizedAccessException or ExternalException or OutOfMemoryException => (failure.Message.ReplaceLineEndings(" "), Failed),
            _ => ($"a fault of the program, {failure.GetType().Name}: {failure.Message.ReplaceLineEndings(" ")} (a run's log.txt says where)", Failed),
        };
        say(line);
        return code;
    }
}

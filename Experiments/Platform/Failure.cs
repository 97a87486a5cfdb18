using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>An exception whose message is shown to the user, and which determines the exit code.</summary>
internal interface IExitCode
{
    int ExitCode { get; }
}

/// <summary>Reports a failed command: one line and an exit code.</summary>
internal static class Failure
{
    private const string LogKey = "imta.log";
    private const int Failed = 1;

    /// <summary>Records the file that has an exception's stack trace, for <see cref="Report"/>.</summary>
    public static void SetLog(Exception failure, string log) => failure.Data[LogKey] = log;

    /// <summary>Writes the line to standard error.</summary>
    public static void WriteError(string line) => Console.Error.WriteLine($"imta: {line}");

    /// <summary>The message in one line, without the C++ stack trace of libtorch.</summary>
    public static string Reason(Exception failure)
        => failure.Message.Split("\nException raised from ")[0].ReplaceLineEndings(" ").Trim();

    /// <summary>Reports the reason and returns the exit code.</summary>
    /// <param name="failure">The exception that ended the command.</param>
    /// <param name="report">Receives the line.</param>
    public static int Report(Exception failure, Action<string> report)
    {
        (string line, int code) = failure switch
        {
            OperationCanceledException => ("stopped", StopSignal.ExitCode),
            UsageException => (failure.Message, UsageException.ExitCode),
            IExitCode known => (failure.Message, known.ExitCode),
            IOException or UnauthorizedAccessException or OutOfMemoryException => (Reason(failure), Failed),
            _ => (Described(failure), Failed),
        };
        report(line);
        return code;
    }

    /// <summary>What failed and where; an error of libtorch, such as running out of memory, is not called internal.</summary>
    private static string Described(Exception failure)
    {
        bool isNative = failure is ExternalException;
        string type = isNative ? "" : $", {failure.GetType().Name}";
        string where = FailurePlace.Of(failure) switch
        {
            { IsExtension: true } place => $"{place.Method} failed{type}: ",
            _ when isNative => "",
            { } place => $"internal error in {place.Method}{type}: ",
            null => $"internal error{type}: ",
        };
        return where + Reason(failure) + (failure.Data[LogKey] is string log ? $" (see {log} for the stack trace)" : "");
    }
}

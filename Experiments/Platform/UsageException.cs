namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>
/// Invalid user input: its message is one line (what, where, what to do). The command exits with <see cref="ExitCode"/>, without a stack
/// trace.
/// </summary>
public sealed class UsageException : Exception
{
    /// <summary>Exit code for invalid usage.</summary>
    public const int ExitCode = 2;

    /// <summary>Invalid input with a message for the user.</summary>
    public UsageException(string message)
        : base(message)
    {
    }

    /// <summary>Invalid input with a message for the user and the caught exception.</summary>
    public UsageException(string message, Exception innerException)
        : base(message, innerException)
    {
    }

    /// <summary>Wraps an argument error of a library: its message, preceded by where the argument comes from.</summary>
    public static UsageException FromArgumentException(ArgumentException e, string origin = "")
        => new(origin + e.Message.Split(" (Parameter '")[0].ReplaceLineEndings(" "), e);

    /// <summary>Required by design guidelines; prefer a constructor with a message.</summary>
    public UsageException()
    {
    }
}

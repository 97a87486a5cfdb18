namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>Wrong input: its message is one line for the user (what, where, what to do). The command ends with <see cref="ExitCode"/>, without a stack trace.</summary>
public sealed class UsageException : Exception
{
    /// <summary>Exit code of a command that was used wrongly.</summary>
    public const int ExitCode = 2;

    /// <summary>Wrong input with its line for the user.</summary>
    public UsageException(string message)
        : base(message)
    {
    }

    /// <summary>Wrong input with its line for the user and what was caught.</summary>
    public UsageException(string message, Exception innerException)
        : base(message, innerException)
    {
    }

    /// <summary>What the library below refused, in its words.</summary>
    public static UsageException Of(ArgumentException e) => new(e.Message.Split(" (Parameter '")[0].ReplaceLineEndings(" "), e);

    /// <summary>Required of exceptions; prefer to say what is wrong.</summary>
    public UsageException()
    {
    }
}

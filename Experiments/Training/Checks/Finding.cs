namespace Imta.MetaWeight.Experiments.Training.Checks;

/// <summary>How bad a finding is.</summary>
internal enum Severity
{
    /// <summary>The run goes on.</summary>
    Warning,

    /// <summary>The run does not start, unless the user allows it.</summary>
    Stop,
}

/// <summary>Something that a check found.</summary>
/// <param name="Check">Which check.</param>
/// <param name="Severity">How bad.</param>
/// <param name="What">What is wrong, with its numbers.</param>
/// <param name="Why">Why it matters.</param>
/// <param name="Fix">Which key or option to change, and to what.</param>
internal sealed record Finding(CheckName Check, Severity Severity, string What, string Why, string Fix)
{
    /// <summary>One line for the user.</summary>
    public string Line => $"{Check.Text()}: {What}: {Why}; {Fix}";

    /// <summary>How to run all the same, where it would stop the run.</summary>
    public string Override => $"or go on all the same by --allow {Check.Text()}";
}

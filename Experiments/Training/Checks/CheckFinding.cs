namespace Imta.MetaWeight.Experiments.Training.Checks;

/// <summary>The severity of a finding.</summary>
internal enum Severity
{
    /// <summary>The run continues.</summary>
    Warning,

    /// <summary>The run does not start, unless the user allows it.</summary>
    Error,
}

/// <summary>A problem found by a check.</summary>
/// <param name="Check">The check that found it.</param>
/// <param name="Severity">Its severity.</param>
/// <param name="Problem">The problem, with its numbers.</param>
/// <param name="Consequence">Why it matters.</param>
/// <param name="Fix">Which key or option to change, and to what.</param>
internal sealed record CheckFinding(CheckName Check, Severity Severity, string Problem, string Consequence, string Fix)
{
    /// <summary>One line for the user.</summary>
    public string Line => $"{Check.Text()}: {Problem}: {Consequence}; {Fix}";

    /// <summary>How to run anyway, if it would stop the run.</summary>
    public string OverrideHint => $"or proceed anyway with --allow {Check.Text()}";
}

using Imta.MetaWeight.Experiments.Configuration;

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

/// <summary>The checks before a run, in the order in which their findings are shown.</summary>
internal enum CheckName
{
    /// <summary>Classes and sizes of the training, validation and test sets.</summary>
    Splits,

    /// <summary>Images that appear in two sets.</summary>
    Overlap,

    /// <summary>Batches whose halves differ in size or are too small.</summary>
    OddBatch,

    /// <summary>Exits to which no samples are allocated.</summary>
    Shares,

    /// <summary>Disk space for the run's files.</summary>
    Disk,

    /// <summary>Memory for a training step.</summary>
    Memory,
}

/// <summary>The check names as written by the user.</summary>
internal static class CheckNames
{
    /// <summary>All names, as accepted by <c>--allow</c>.</summary>
    public static IReadOnlyList<string> All { get; } = [.. Enum.GetValues<CheckName>().Select(Text)];

    /// <summary>A check's name, such as <c>oddBatch</c>.</summary>
    public static string Text(this CheckName check) => SettingsSchema.YamlName(check.ToString());

    /// <summary>The checks of <c>--allow</c>.</summary>
    /// <param name="values">Each a name or a comma-separated list of names.</param>
    /// <exception cref="UsageException">There is no such check.</exception>
    public static IReadOnlySet<CheckName> Parse(IEnumerable<string> values) => values
        .SelectMany(value => value.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        .Select(name => Enum.GetValues<CheckName>().Where(check => check.Text() == name).Cast<CheckName?>().FirstOrDefault()
            ?? throw new UsageException($"--allow {name}: unknown check; expected one of {string.Join(", ", All)}"))
        .ToHashSet();
}

using Imta.MetaWeight.Experiments.Sweeps;
using MathNet.Numerics.Statistics;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>A value of one run at a point that the variant's other runs share.</summary>
/// <param name="Key">The point: an exit, a budget, an epoch.</param>
/// <param name="X">The x coordinate.</param>
/// <param name="Y">The value.</param>
internal readonly record struct Value(int Key, double X, double Y);

/// <summary>Means over seeds, with confidence intervals.</summary>
internal static class Means
{
    /// <summary>The caption text for values that are means.</summary>
    public static string Caption(IReadOnlyList<ReportEntry> entries)
        => entries.Any(entry => entry.Runs.Count > 1)
            ? "; for a variant, the mean over its seeds with a 95 % Student's t confidence interval"
            : "";

    /// <summary>The caption text for values that are not means.</summary>
    public static string FirstRunCaption(IReadOnlyList<ReportEntry> entries)
        => entries.Any(entry => entry.Runs.Count > 1) ? "; for a variant, its first run" : "";

    /// <summary>A curve through the means, in the order of the points.</summary>
    public static IReadOnlyList<Point> Curve(
        ReportEntry entry, Func<ReportedRun, IEnumerable<Value>> values, Func<int, string>? label = null)
        => [.. entry.Runs.SelectMany(values).Where(value => double.IsFinite(value.X) && double.IsFinite(value.Y))
            .GroupBy(value => value.Key).OrderBy(group => group.Key)
            .Select(group => AtPoint(group.Average(value => value.X), [.. group.Select(value => value.Y)], label?.Invoke(group.Key)))];

    /// <summary>The mean of some values as a point.</summary>
    public static Point AtPoint(double x, double[] values, string? label)
    {
        double mean = values.Mean();
        double? half = SweepSummary.HalfWidth(values);
        return new Point(x, mean, mean - half, mean + half, label);
    }
}

/// <summary>The exit selection of a figure with several runs, whose networks may have different numbers of exits.</summary>
/// <param name="Label">The label in the list.</param>
/// <param name="Select">Maps the number of exits of a network to the exit.</param>
internal sealed record ExitChoice(string Label, Func<int, int> Select)
{
    /// <summary>The last exit, then each exit by number.</summary>
    public static IEnumerable<ExitChoice> UpTo(int exits)
        =>
        [
            new ExitChoice("last exit", last => last),
            .. Enumerable.Range(1, exits).Select(exit => new ExitChoice($"exit {exit}", _ => exit)),
        ];
}

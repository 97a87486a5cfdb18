using Imta.MetaWeight.Experiments.Sweeps;
using MathNet.Numerics.Statistics;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>A value of one run at a place that its variant's other runs have too.</summary>
/// <param name="Key">The place: an exit, a budget, an epoch.</param>
/// <param name="X">Where it is drawn.</param>
/// <param name="Y">The value.</param>
internal readonly record struct Value(int Key, double X, double Y);

/// <summary>Means over seeds, with what they are sure to.</summary>
internal static class Means
{
    /// <summary>What captions say of values that are means.</summary>
    public static string Words(IReadOnlyList<Entry> entries)
        => entries.Any(entry => entry.Runs.Count > 1) ? "; of a variant, the mean over its seeds with its 95 % interval by Student's t" : "";

    /// <summary>What captions say of values that are none.</summary>
    public static string FirstOnly(IReadOnlyList<Entry> entries) => entries.Any(entry => entry.Runs.Count > 1) ? "; of a variant, its first run" : "";

    /// <summary>A curve through the means at each place, in the order of places.</summary>
    public static IReadOnlyList<Point> Curve(Entry entry, Func<ReportedRun, IEnumerable<Value>> values, Func<int, string>? label = null)
        => [.. entry.Runs.SelectMany(values).Where(value => double.IsFinite(value.X) && double.IsFinite(value.Y))
            .GroupBy(value => value.Key).OrderBy(group => group.Key)
            .Select(group => Of(group.Average(value => value.X), [.. group.Select(value => value.Y)], label?.Invoke(group.Key)))];

    /// <summary>The mean of some values as a point.</summary>
    public static Point Of(double x, double[] values, string? label)
    {
        double mean = values.Mean();
        double? half = SweepSummary.HalfWidth(values);
        return new Point(x, mean, mean - half, mean + half, label);
    }
}

using MathNet.Numerics.Statistics;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>The learned sample weights as a function of what they are given for.</summary>
internal static class WeightFigures
{
    private const int MostBins = 25;
    private const string Band = "the line is the mean in each bin, the band holds 10 to 90 % of its samples";

    public static Block AgainstLoss(IReadOnlyList<Entry> all) => Missing.Or(all, Learned, "weights/epoch-NNNN.csv with weights that differ, as runs with meta.enabled=true have", entries => new Figure(
        "weights-loss", "Weight against loss",
        $"How much training samples count at each exit, by their loss there, in at most {MostBins} bins of equally many samples (the last weights/epoch-NNNN.csv; {Band}{Means.FirstOnly(entries)}).",
        "lines", new Axis("loss at the exit, nats", "number") { FromZero = true }, new Axis("sample weight", "number"),
        [.. entries.Select(entry => ViewOf(entry, row => row.Loss))])
    {
        Choices = ["run"],
    });

    public static Block? AgainstDifficulty(IReadOnlyList<Entry> all) => all.Any(Difficult) ? Missing.Or(all, Difficult, "weights that differ and samples of known difficulty, as generated data are", entries => new Figure(
        "weights-difficulty", "Weight against difficulty",
        $"How much training samples count at each exit, by the difficulty that they were generated with, 0 easy to 1 hard (the last weights/epoch-NNNN.csv; {Band}{Means.FirstOnly(entries)}).",
        "lines", new Axis("difficulty", "number"), new Axis("sample weight", "number"),
        [.. entries.Select(entry => ViewOf(entry, row => row.Difficulty ?? 0))])
    {
        Choices = ["run"],
    }) : null;

    private static bool Learned(Entry entry) => entry.First.Weights is ({ }, [var first, ..] rows) && rows.Any(row => row.Weight != first.Weight);

    private static bool Difficult(Entry entry) => Learned(entry) && entry.First.Weights!.Value.Rows.All(row => row.Difficulty is not null);

    private static View ViewOf(Entry entry, Func<SavedWeight, double> x)
    {
        (string file, IReadOnlyList<SavedWeight> rows) = entry.First.Weights!.Value;
        var exits = rows.Where(row => float.IsFinite(row.Weight) && double.IsFinite(x(row))).GroupBy(row => row.Exit).OrderBy(exit => exit.Key).ToArray();
        return new View([.. exits.Select(exit => new Series($"exit {exit.Key}", Colour.Exit(exit.Key, exits[^1].Key), Bins(exit, x)))])
        {
            Labels = [entry.Name],
            Remark = $"{entry.First.Folder}, {file}",
        };
    }

    private static Point[] Bins(IEnumerable<SavedWeight> rows, Func<SavedWeight, double> x)
    {
        SavedWeight[] sorted = [.. rows.OrderBy(x).ThenBy(row => row.Weight)];
        int bins = Math.Clamp(sorted.Length / 4, 1, MostBins);
        return [.. Enumerable.Range(0, bins).Select(bin =>
        {
            SavedWeight[] inside = sorted[(sorted.Length * bin / bins)..(sorted.Length * (bin + 1) / bins)];
            double[] weights = [.. inside.Select(row => (double)row.Weight).Order()];
            return new Point(
                inside.Average(x), weights.Mean(), SortedArrayStatistics.Quantile(weights, 0.1), SortedArrayStatistics.Quantile(weights, 0.9),
                FormattableString.Invariant($"{inside.Length} samples"));
        })];
    }
}

using MathNet.Numerics.Statistics;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>The learned sample weights as a function of loss, confidence and difficulty.</summary>
internal static class WeightFigures
{
    private const int MaxBins = 25;
    private const string Band = "the line is the mean of each bin, the band spans its 10th to 90th percentile";

    /// <summary>Null if no run has the required data.</summary>
    public static Block? AgainstConfidence(IReadOnlyList<ReportEntry> all) => Against(
        all, "weights-confidence", "Weight against confidence", "by their confidence at that exit (largest softmax probability)",
        new Axis("confidence at the exit, %", "percent"), row
            => row.Confidence, "varying weights and a column confidence in weights/epoch-NNNN.csv");

    /// <summary>Null if no run has the required data.</summary>
    public static Block? AgainstDifficulty(IReadOnlyList<ReportEntry> all) => Against(
        all, "weights-difficulty", "Weight against difficulty", "by the difficulty they were generated with (0 easy to 1 hard)",
        new Axis("difficulty", "number"), row
            => row.Difficulty, "varying weights and samples of known difficulty, which generated data have");

    public static Block AgainstLoss(IReadOnlyList<ReportEntry> all) => Draw(
        all, "weights-loss", "Weight against loss", "by their loss at that exit",
        new Axis("loss at the exit, nats", "number") { FromZero = true }, row
            => row.Loss, "weights/epoch-NNNN.csv with varying weights, which runs with meta.enabled=true write");

    private static Block? Against(
        IReadOnlyList<ReportEntry> all, string id, string title, string by, Axis x, Func<SavedWeight, double?> of, string needed)
        => all.Any(entry => HasLearnedWeights(entry, of)) ? Draw(all, id, title, by, x, of, needed) : null;

    private static Block Draw(
        IReadOnlyList<ReportEntry> all, string id, string title, string by, Axis x, Func<SavedWeight, double?> of, string needed)
        => FigureOrNote.Create(all, entry => HasLearnedWeights(entry, of), needed, entries => new Figure(
            id, title, $"Weight of the training samples at each exit, {by}, in at most {MaxBins} bins of equal sample count (the last "
                + $"weights/epoch-NNNN.csv; {Band}{Means.FirstRunCaption(entries)}).",
            "lines", x, new Axis("sample weight", "number"), [.. entries.Select(entry => ViewOf(entry, row => of(row)!.Value))])
        {
            Choices = ["run"],
        }, FigureOrNote.Detailed);

    /// <summary>Whether weights vary from sample to sample, and every sample has a value for the x axis.</summary>
    private static bool HasLearnedWeights(ReportEntry entry, Func<SavedWeight, double?> of)
        => !entry.First.Epochs.All(row => row.WeightStd is 0) // the quick check first
            && entry.First.Weights is ({ }, { Count: > 0 } rows) && rows.All(row => of(row) is not null)
            && rows.GroupBy(row => row.Exit).Any(exit => exit.Any(row => row.Weight != exit.First().Weight));

    private static View ViewOf(ReportEntry entry, Func<SavedWeight, double> x)
    {
        (string file, IReadOnlyList<SavedWeight> rows) = entry.First.Weights!.Value;
        var exits = rows.Where(row => float.IsFinite(row.Weight) && double.IsFinite(x(row))).GroupBy(row => row.Exit)
            .OrderBy(exit => exit.Key)
            .ToArray();
        return new View([.. exits.Select(exit => new Series($"exit {exit.Key}", Colour.Exit(exit.Key, exits[^1].Key), Bins(exit, x)))])
        {
            Labels = [entry.Name],
            Remark = $"{entry.First.Folder}, {file}",
        };
    }

    private static Point[] Bins(IEnumerable<SavedWeight> rows, Func<SavedWeight, double> x)
    {
        SavedWeight[] sorted = [.. rows.OrderBy(x).ThenBy(row => row.Weight)];
        int bins = Math.Clamp(sorted.Length / 4, 1, MaxBins);
        return [.. Enumerable.Range(0, bins).Select(bin =>
        {
            SavedWeight[] inside = sorted[(sorted.Length * bin / bins)..(sorted.Length * (bin + 1) / bins)];
            double[] weights = [.. inside.Select(row => (double)row.Weight).Order()];
            return new Point(
                inside.Average(x), weights.Mean(),
                SortedArrayStatistics.Quantile(weights, 0.1), SortedArrayStatistics.Quantile(weights, 0.9),
                FormattableString.Invariant($"{inside.Length} samples"));
        })];
    }
}

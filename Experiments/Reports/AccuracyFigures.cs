using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>Accuracy against what an answer costs.</summary>
internal static class AccuracyFigures
{
    public static Block Anytime(IReadOnlyList<Entry> all) => FigureOrNote.Of(
        all, entry => entry.Runs.Any(run => run.Anytime.Count > 0), "anytime.csv, which a run writes at its end",
        entries => new Figure(
            "anytime", "Accuracy of each exit",
            $"How often each exit is right on the test set if all images are answered by it, against what its answer costs (anytime.csv{Means.Words(entries)}).",
            "lines", Axis.Macs, Axis.TestAccuracy,
            [new View([.. entries.Select(entry => new Series(entry.Name, entry.Colour, Means.Curve(
                entry, run => run.Anytime.Select(row => new Value(row.Exit, row.Macs, row.Top1)), exit => $"exit {exit}")))])]));

    /// <param name="all">Runs and variants.</param>
    /// <param name="points">Of the user's files, drawn beside them.</param>
    public static Block Budgeted(IReadOnlyList<Entry> all, IReadOnlyList<Series> points) => FigureOrNote.Of(
        all, entry => entry.Runs.Any(run => run.Dynamic.Count > 0), "dynamic.csv, which a run writes at its end unless data.validation=0",
        entries => new Figure(
            "budgeted", "Accuracy under budgets",
            $"How often images are right that leave early by thresholds, against their average cost, over the budgets p (dynamic.csv{Means.Words(entries)})"
                + (points.Count > 0 ? "; diamonds are the numbers given with --points." : "."),
            "lines", Axis.Macs, Axis.TestAccuracy,
            [new View([
                .. entries.Select(entry => new Series(entry.Name, entry.Colour, Means.Curve(
                    entry, run => run.Dynamic.Where(row => row.Exit == 1).Select(row => new Value(row.P, row.TestMacs, row.TestAccuracy)), p => $"p = {p}"))),
                .. points,
            ])]));

    public static Block Latency(IReadOnlyList<Entry> all) => FigureOrNote.Of(
        all, entry => entry.Runs.Any(run => run.Latency.Count > 0), "latency.csv, which imta eval --latency writes into a run's folder",
        entries => new Figure(
            "latency", "Accuracy against latency",
            $"How often answers are right against the median time of a batch on the machine that measured it (latency.csv{Means.Words(entries)}).",
            "lines", new Axis("median time of a batch, ms", "number") { FromZero = true }, Axis.TestAccuracy,
            [.. from size in entries.SelectMany(entry => entry.Runs).SelectMany(run => run.Latency).Select(row => row.Batch).Distinct().Order()
                from way in Ways
                select new View([.. entries.Select(entry => new Series(entry.Name, entry.Colour, way.Curve(entry, size))).Where(series => series.Points.Count > 0)])
                {
                    Labels = [FormattableString.Invariant($"{size}"), way.Label],
                }])
        {
            Choices = ["images of a batch", "answers"],
        });

    private static readonly (string Label, Func<Entry, int, IReadOnlyList<Point>> Curve)[] Ways =
    [
        ("leaving early, by budgets", (entry, size) => TimeCurve(entry, size, row => row.P, "p = ")),
        ("all by one exit", (entry, size) => TimeCurve(entry, size, row => row.Exit, "exit ")),
    ];

    private static IReadOnlyList<Point> TimeCurve(Entry entry, int size, Func<LatencyRow, int?> key, string word) => Means.Curve(
        entry,
        run => run.Latency.Where(row => row.Batch == size && key(row) is not null).Select(row => new Value(key(row)!.Value, row.MedianMs, row.Accuracy)),
        place => word + place);
}

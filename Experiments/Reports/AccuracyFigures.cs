using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>Accuracy versus inference cost.</summary>
internal static class AccuracyFigures
{
    public static Block Anytime(IReadOnlyList<ReportEntry> all) => FigureOrNote.Create(
        all, entry => entry.Runs.Any(run => run.Anytime.Count > 0), "anytime.csv, which a run writes at its end",
        entries => new Figure(
            "anytime", "Accuracy per exit",
            $"Test accuracy of each exit if it classifies all images, against its cost (anytime.csv{Means.Caption(entries)}).",
            "lines", Axis.Macs, Axis.TestAccuracy,
            [new View([.. entries.Select(entry => new Series(entry.Name, entry.Colour, Means.Curve(
                entry, run => run.Anytime.Select(row => new Value(row.Exit, row.Macs, row.Top1)), exit => $"exit {exit}")))])]));

    /// <param name="all">Runs and variants.</param>
    /// <param name="points">Series from the user's files, drawn for comparison.</param>
    public static Block Budgeted(IReadOnlyList<ReportEntry> all, IReadOnlyList<Series> points) => FigureOrNote.Create(
        all, entry => entry.Runs.Any(run => run.Dynamic.Count > 0), "dynamic.csv, which a run writes at its end unless data.validation=0",
        entries => new Figure(
            "budgeted", "Budgeted accuracy",
            $"Accuracy with threshold-based early exits against the average cost, for the budgets p (dynamic.csv{Means.Caption(entries)})"
                + (points.Count > 0 ? "; diamonds are the results given with --points." : "."),
            "lines", Axis.Macs, Axis.TestAccuracy,
            [new View([
                .. entries.Select(entry => new Series(entry.Name, entry.Colour, Means.Curve(
                    entry, run
                        => run.Dynamic.Where(row => row.Exit == 1)
                            .Select(row => new Value(row.P, row.TestMacs, row.TestAccuracy)), p => $"p = {p}"))),
                .. points,
            ])]));

    public static Block Latency(IReadOnlyList<ReportEntry> all) => FigureOrNote.Create(
        all, entry => entry.Runs.Any(run => run.Latency.Count > 0), "latency.csv, which imta eval --latency writes into a run's folder",
        entries => new Figure(
            "latency", "Accuracy against latency",
            $"Accuracy against the median time per batch on the machine that measured it (latency.csv{Means.Caption(entries)}).",
            "lines", new Axis("median time per batch, ms", "number") { FromZero = true }, Axis.TestAccuracy,
            [.. from size in entries.SelectMany(entry => entry.Runs).SelectMany(run => run.Latency).Select(row => row.Batch)
                    .Distinct().Order()
                from way in Ways
                select new View(
                    [
                        .. entries.Select(entry => new Series(entry.Name, entry.Colour, way.Curve(entry, size)))
                            .Where(series => series.Points.Count > 0)
                    ])
                {
                    Labels = [FormattableString.Invariant($"{size}"), way.Label],
                }])
        {
            Choices = ["batch size", "exit strategy"],
        });

    private static readonly (string Label, Func<ReportEntry, int, IReadOnlyList<Point>> Curve)[] Ways =
    [
        ("early exits, by budget", (entry, size) => TimeCurve(entry, size, row => row.P, "p = ")),
        ("all at one exit", (entry, size) => TimeCurve(entry, size, row => row.Exit, "exit ")),
    ];

    private static IReadOnlyList<Point> TimeCurve(ReportEntry entry, int size, Func<LatencyRow, int?> key, string word) => Means.Curve(
        entry,
        run
            => run.Latency.Where(row => row.Batch == size && key(row) is not null)
                .Select(row => new Value(key(row)!.Value, row.MedianMs, row.Accuracy)),
        position => word + position);
}

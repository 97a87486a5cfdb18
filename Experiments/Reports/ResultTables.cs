using System.Globalization;
using Imta.MetaWeight.Experiments.Sweeps;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>The results as numbers: each exit, and early exits by budget.</summary>
internal static class ResultTables
{
    private const int BudgetStep = 5; // of p, as in the output of imta eval

    public static Block Exits(IReadOnlyList<ReportEntry> entries)
    {
        var rows =
            from entry in entries
            from exit in entry.Runs.SelectMany(run => run.Anytime).GroupBy(row => row.Exit)
            orderby entry.Index, exit.Key
            let details = entry.Runs.SelectMany(run => run.Exits).Where(row => row.Classes == "all" && row.Exit == exit.Key).ToArray()
            select (string[])
            [
                entry.Name, Number(exit.Key), Count(exit.Select(row => (double)row.Macs)),
                Count(exit.Select(row => (double)row.Parameters)), Percent(exit.Select(row => row.Top1)),
                Percent(exit.Select(row => row.Top5)), Mean(exit.Select(row => row.Loss), "0.000"),
                Percent(details.Select(row => row.Ece)), Percent(details.Select(row => row.Overthinking)),
                Percent(details.Select(row => row.Oracle)),
            ];
        return TableOrNote(
            "results", "Results per exit", "anytime.csv, which a run writes at its end",
            "Each exit as if it classified all test images: multiply-adds per image and parameters up to it, top-1 and top-5 accuracy, "
                + "mean cross-entropy (negative log-likelihood), expected calibration error, overthinking (correct here, wrong at the last "
                + $"exit), and the oracle's accuracy (correct here or earlier; anytime.csv, exits.csv{Ranges(entries)}).",
            [
                "run", "exit", "multiply-adds", "parameters", "top-1, %", "top-5, %", "loss, nats", "ECE, %", "overthinking, %",
                "oracle, %",
            ],
            rows);
    }

    public static Block Budgets(IReadOnlyList<ReportEntry> entries)
    {
        var rows =
            from entry in entries
            from budget in entry.Runs.SelectMany(run => run.Dynamic).Where(row => row.Exit == 1).GroupBy(row => row.P)
            where budget.Key == 1 || budget.Key % BudgetStep == 0
            orderby entry.Index, budget.Key
            select (string[])
            [
                entry.Name, Number(budget.Key), budget.First().Q.ToString("0.00", CultureInfo.InvariantCulture),
                Count(budget.Select(row => row.TestMacs)), Percent(budget.Select(row => row.TestAccuracy)),
            ];
        return TableOrNote(
            "budgets", "Results by budget", "dynamic.csv, which a run writes at its end unless data.validation=0",
            "Images leave early, at thresholds from the validation images: mean multiply-adds per test image, and test accuracy "
                + $"(dynamic.csv{Ranges(entries)}).",
            ["run", "p", "q", "multiply-adds", "accuracy, %"], rows);
    }

    public static Block Timing(IReadOnlyList<ReportEntry> entries)
    {
        var rows =
            from entry in entries
            let runs = entry.Runs.Where(run => run.Timing.Count > 0).ToArray()
            where runs.Length > 0
            select (string[])
            [
                entry.Name, Mean(runs.Select(run => (double)run.Timing.Count), "0.#"),
                Mean(runs.Select(run => run.Timing.Sum(row => row.TrainSeconds + row.ValidationSeconds) / 60), "0.0"),
                Mean(runs.Select(run => run.Timing.Average(row => row.TrainSeconds)), "0.0"),
                Mean(runs.Select(run => run.Timing.Average(row => row.ValidationSeconds)), "0.0"),
                Mean(runs.Select(run => run.Timing.Average(row => row.TrainImagesPerSecond)), "0"),
                Mean(runs.Select(run => run.Timing.Max(row => row.PeakMemoryMib)), "0"),
            ];
        return TableOrNote(
            "timing", "Time and memory", "timing.csv, which is written with a run's first epoch",
            $"Over the epochs so far: total time, mean time per epoch, speed and peak memory (timing.csv{Ranges(entries)}).",
            ["run", "epochs", "time, min", "training per epoch, s", "validation per epoch, s", "training images/s", "peak memory, MiB"],
            rows);
    }

    private static Block TableOrNote(
        string id, string title, string needed, string caption, IReadOnlyList<string> head, IEnumerable<string[]> rows)
        => rows.ToArray() is [_, ..] shown
            ? new Table(id, title, caption, head, shown)
            : new Note(id, title, $"Not shown: no run has {needed}.");

    private static string Ranges(IReadOnlyList<ReportEntry> entries) => entries.Any(entry => entry.Runs.Count > 1)
        ? "; for a variant, the mean over its seeds, ± half the width of its 95 % Student's t confidence interval"
        : "";

    private static string Percent(IEnumerable<double> values) => Mean(values.Select(value => 100 * value), "0.00");

    /// <summary>Multiply-adds or parameters: the mean, without a range.</summary>
    private static string Count(IEnumerable<double> values) => values.Average().ToString("N0", CultureInfo.InvariantCulture);

    private static string Mean(IEnumerable<double> values, string format)
    {
        double[] all = [.. values];
        string half = SweepSummary.HalfWidth(all) is { } width ? $" ± {width.ToString(format, CultureInfo.InvariantCulture)}" : "";
        return all.Length == 0 ? "–" : all.Average().ToString(format, CultureInfo.InvariantCulture) + half;
    }

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);
}

using System.Globalization;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Sweeps;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>A sweep's statistics: key quantities first, the full tables collapsed.</summary>
internal static class SweepStatistics
{
    private const int EqualSharesPoint = 20; // p of the budget q = 1

    /// <summary>A key quantity, shown if a sweep has it.</summary>
    /// <param name="Head">Its column heading.</param>
    /// <param name="Metric">As in <c>summary.csv</c>.</param>
    /// <param name="Classes">The class group, if any.</param>
    /// <param name="P">The budget, if any.</param>
    private sealed record Column(string Head, string Metric, string Classes = "", int? P = null)
    {
        public bool Shows(MetricKey quantity) => quantity.Metric == Metric && (quantity.Classes ?? "") == Classes && quantity.P == P;
    }

    private static readonly Column[] Shown =
    [
        new("last exit, %", "top1"),
        new("mean over exits, %", "top1_mean"),
        new("mean over budgets, %", "budget_area"),
        new("budget p = 20, %", "dynamic_accuracy", P: EqualSharesPoint),
        new("budget p = 20, multiply-adds", "dynamic_macs", P: EqualSharesPoint),
        new("head, %", "class_accuracy", "head"),
        new("medium, %", "class_accuracy", "medium"),
        new("tail, %", "class_accuracy", "tail"),
    ];

    public static IEnumerable<Block> Build(ReportedSweep sweep, int number)
    {
        if (sweep.Summary.Count > 0)
        {
            yield return Means(sweep, $"summary-{number}");
            yield return AllMeans(sweep, $"all-means-{number}");
        }

        if (sweep.Comparison.Count > 0)
        {
            if (DifferenceViews(sweep) is { Length: > 0 } views)
            {
                yield return DifferenceFigure(sweep, $"gains-{number}", views);
            }

            yield return Differences(sweep, $"comparison-{number}");
            yield return AllDifferences(sweep, $"all-differences-{number}");
        }

        string[][] missing =
        [
            .. sweep.Runs.Where(row => row.State != SweepFolder.Done)
                .Select(row => (string[])[row.Variant, Text(row.Seed), row.State, row.Message ?? ""]),
        ];
        yield return missing.Length == 0
            ? new Note($"sweep-runs-{number}", "Runs of the sweep", $"All {sweep.Runs.Count} runs of {sweep.Folder} are done (runs.csv).")
            : new Table(
                $"sweep-runs-{number}", "Unfinished runs", $"These are not included in the numbers above ({sweep.Folder}, runs.csv).",
                ["variant", "seed", "state", "message"], missing);
    }

    private static Table Means(ReportedSweep sweep, string id)
    {
        Column[] columns = [.. Shown.Where(column => sweep.Summary.Any(row => column.Shows(Of(row))))];
        return new Table(id, "Means over seeds", $"Mean over the runs of each variant, ± half the width of its 95 % Student's t "
            + $"confidence interval ({sweep.Folder}, summary.csv).",
            ["variant", "runs", .. columns.Select(column => column.Head)],
            [.. sweep.Summary.GroupBy(row => row.Variant).Select(variant => (string[])
                [
                    variant.Key, Text(variant.Max(row => row.N)),
                    .. columns.Select(column => Pick(variant, column, Of) is { } row ? WithRange(row) : "")
                ])]);
    }

    private static Figure DifferenceFigure(ReportedSweep sweep, string id, View[] views) => new(
        id, "Gain over the baseline",
        "The mean difference between a variant's and the baseline's runs of the same seed, accuracies in percentage points, with its 95 % "
            + $"interval, not adjusted for the number of variants ({sweep.Folder}, comparison.csv, paired_low and paired_high).",
        "bars", new Axis("variant", "category"), new Axis("difference, percentage points", "number") { FromZero = true }, views)
    {
        Choices = ["quantity"],
    };

    /// <summary>One view per key quantity that a variant and its baseline share for at least two seeds.</summary>
    private static View[] DifferenceViews(ReportedSweep sweep)
        => [.. from column in Shown
               where IsShare(column.Metric)
               let rows = sweep.Comparison.GroupBy(row => row.Variant).Select(variant => Pick(variant, column, Of))
                   .Where(row => row?.PairedLow is not null).ToArray()
               where rows.Length > 0
               select new View([new Series("gain", new Colour("run", 0, 1), [.. rows.Select((row, k) => Gain(row!, k))])])
               {
                   Labels = [column.Head[..^", %".Length]],
                   Categories = [.. rows.Select(row => row!.Variant)],
               }];

    private static Point Gain(ComparisonRow row, int place)
        => new(place, 50 * (row.PairedLow + row.PairedHigh), 100 * row.PairedLow, 100 * row.PairedHigh, $"over {row.Baseline}");

    private static Table Differences(ReportedSweep sweep, string id) => new(
        id, "Differences from the baseline",
        "The variant's mean minus the baseline's, accuracies in percentage points, with its 95 % interval and the two-sided "
            + "p values of Welch's t-test and of the test paired by seed, the latter also adjusted for all variants by Holm's method "
            + $"({sweep.Folder}, comparison.csv).",
        ["variant", "baseline", "quantity", "difference", "low", "high", "Welch p", "paired p", "Holm p", "runs"],
        [.. from variant in sweep.Comparison.GroupBy(row => row.Variant)
            from column in Shown
            let row = Pick(variant, column, Of)
            where row is not null
            select (string[])[variant.Key, row.Baseline, column.Head,
                Signed(row.Difference, row.Metric), Signed(row.Low, row.Metric), Signed(row.High, row.Metric),
                Probability(row.WelchP), Probability(row.PairedP), Probability(row.PairedHolm),
                $"{row.N} and {row.BaselineN}"]]);

    private static Table AllMeans(ReportedSweep sweep, string id) => new(
        id, "All means", $"Every row of {sweep.Folder}, summary.csv; accuracies in percent.",
        [
            "variant", "metric", "exit", "classes", "p", "runs", "mean", "std", "low", "high",
        ],
        [.. sweep.Summary.Select(row => (string[])[row.Variant, row.Metric, Text(row.Exit), row.Classes ?? "", Text(row.P), Text(row.N),
            Plain(row.Mean, row.Metric), Plain(row.Std, row.Metric), Plain(row.Low, row.Metric), Plain(row.High, row.Metric)])],
        Folded: true);

    private static Table AllDifferences(ReportedSweep sweep, string id) => new(
        id, "All differences", $"Every row of {sweep.Folder}, comparison.csv; accuracies in percentage points.",
        [
            "variant", "baseline", "metric", "exit", "classes", "p", "difference", "low", "high", "Welch t", "df", "Welch p", "pairs",
            "paired t", "paired p", "paired low", "paired high", "Holm p"
        ],
        [.. sweep.Comparison.Select(row => (string[])[row.Variant, row.Baseline, row.Metric, Text(row.Exit), row.Classes ?? "", Text(row.P),
            Signed(row.Difference, row.Metric), Signed(row.Low, row.Metric), Signed(
                row.High, row.Metric), Plain(row.WelchT, ""), Plain(row.WelchDf, ""), Probability(row.WelchP),
            Text(row.PairedN), Plain(row.PairedT, ""), Probability(row.PairedP), Signed(row.PairedLow, row.Metric),
            Signed(row.PairedHigh, row.Metric), Probability(row.PairedHolm)])],
        Folded: true);

    private static MetricKey Of(SummaryRow row) => new(row.Metric, row.Exit, row.Classes, row.P);

    private static MetricKey Of(ComparisonRow row) => new(row.Metric, row.Exit, row.Classes, row.P);

    /// <summary>The row shown in a column: that of the last exit, if there is one per exit.</summary>
    private static T? Pick<T>(IEnumerable<T> rows, Column column, Func<T, MetricKey> of)
        => rows.Where(row => column.Shows(of(row))).MaxBy(row => of(row).Exit ?? 0);

    private static bool IsShare(string metric) => metric
        is "top1" or "top1_mean" or "class_accuracy" or "dynamic_accuracy" or "budget_area";

    private static string WithRange(SummaryRow row)
        => Plain(row.Mean, row.Metric) + (row.High is { } high ? $" ± {Plain(high - row.Mean, row.Metric)}" : "");

    private static string Plain(double? value, string metric) => value is not { } number ? ""
        : IsShare(metric) ? (100 * number).ToString("0.00", CultureInfo.InvariantCulture)
        : number.ToString(metric == "dynamic_macs" ? "N0" : "0.###", CultureInfo.InvariantCulture);

    /// <summary>Without a sign if it rounds to 0.</summary>
    private static string Signed(double? value, string metric)
    {
        string text = Plain(value is { } number ? Math.Abs(number) : null, metric);
        return !text.Any(c => c is >= '1' and <= '9') ? text : value > 0 ? $"+{text}" : $"−{text}";
    }

    private static string Probability(double? value)
        => value is not { } p ? "" : p < 0.001 ? "< 0.001" : p.ToString("0.000", CultureInfo.InvariantCulture);

    private static string Text(int? value) => value?.ToString(CultureInfo.InvariantCulture) ?? "";
}

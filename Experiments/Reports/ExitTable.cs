using System.Globalization;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>Calibration and failure prediction per exit.</summary>
internal static class ExitTable
{
    private static readonly (string Head, Func<ExitRow, double?> Value)[] Columns =
    [
        ("accuracy", row => row.Accuracy),
        ("ECE", row => row.Ece),
        ("AUROC", row => row.Auroc),
        ("AUPR", row => row.Aupr),
        ("FPR95", row => row.Fpr95),
        ("premature", row => row.Premature),
        ("premature AUROC", row => row.PrematureAuroc),
        ("premature AUPR", row => row.PrematureAupr),
        ("premature FPR95", row => row.PrematureFpr95),
    ];

    public static Block Build(IReadOnlyList<ReportEntry> entries)
    {
        const string Id = "failure", Title = "Calibration and failure prediction";
        var rows = (
            from entry in entries
            from exit in entry.Runs.SelectMany(run => run.Exits).Where(row => row.Classes == "all").GroupBy(row => row.Exit)
            orderby entry.Index, exit.Key
            select (string[])
                [entry.Name, exit.Key.ToString(CultureInfo.InvariantCulture), .. Columns.Select(column => Mean(exit, column.Value))])
            .ToArray();
        string means = entries.Any(entry => entry.Runs.Count > 1) ? "; for a variant, the mean over its seeds that have a value" : "";
        return rows.Length == 0
            ? new Note(Id, Title, "Not shown: no run has exits.csv, which a run writes at its end.")
            : new Table(
                Id, Title,
                "All in % on the test images: calibration error; how well confidence separates correct predictions from wrong ones; "
                    + "share of images for which leaving here is premature (wrong here, correct at the last exit); how well a low score of "
                    + $"the policy identifies these (exits.csv{means}); – if undefined.",
                ["run", "exit", .. Columns.Select(column => column.Head)],
                rows);
    }

    private static string Mean(IEnumerable<ExitRow> rows, Func<ExitRow, double?> value)
        => rows.Average(value) is { } mean ? (100 * mean).ToString("0.0", CultureInfo.InvariantCulture) : "–";
}

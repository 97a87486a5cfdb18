using System.Globalization;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>How images are distributed over the exits.</summary>
internal static class ShareFigure
{
    public static Block Build(IReadOnlyList<ReportEntry> all) => FigureOrNote.Create(
        all, entry => entry.First.Dynamic.Count > 0, "dynamic.csv, which a run writes at its end unless data.validation=0",
        entries => new Figure(
            "shares", "Exit distribution",
            $"The share of test images that exits at each exit under each budget; a small q lets most images exit early (dynamic.csv, "
                + $"test_share{Means.FirstRunCaption(entries)}).",
            "shares", new Axis("q of the budget", "category"), new Axis(
                "share of test images, %", "percent")
            { FromZero = true, Max = 100 },
            [.. entries.Select(ViewOf)])
        {
            Choices = ["run"],
        }, FigureOrNote.Detailed);

    private static View ViewOf(ReportEntry entry)
    {
        var budgets = entry.First.Dynamic.GroupBy(row => row.P).OrderBy(budget => budget.Key).ToArray();
        int exits = entry.First.Dynamic.Max(row => row.Exit);
        return new View([.. Enumerable.Range(1, exits).Select(exit => new Series($"exit {exit}", Colour.Exit(exit, exits),
            [
                .. budgets.Select(
                    (budget, k) => new Point(k, budget.FirstOrDefault(row => row.Exit == exit)?.TestShare, Label: $"p = {budget.Key}"))
            ]))])
        {
            Labels = [entry.Name],
            Categories = [.. budgets.Select(budget => budget.First().Q.ToString("0.##", CultureInfo.InvariantCulture))],
        };
    }
}

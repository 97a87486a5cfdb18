using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>Accuracy per class and per class group.</summary>
internal static class ClassFigures
{
    private static readonly string[] Groups = ["head", "medium", "tail"];

    public static Block Classes(IReadOnlyList<ReportEntry> all) => FigureOrNote.Create(
        all, entry => entry.Runs.Any(run => run.Classes.Count > 0), "classes.csv, which a run writes at its end",
        entries => new Figure(
            "classes", "Accuracy per class",
            $"Test accuracy of an exit on each class, classes with the most training images first (classes.csv{Means.Caption(entries)}).",
            "bars", new Axis("class", "category"), new Axis("test accuracy, %", "percent") { FromZero = true, Max = 100 },
            Views(entries, run => run.Classes, row => row.Exit, Names(entries), row => row.Name, row => row.Accuracy))
        {
            Choices = ["exit"],
        }, FigureOrNote.Detailed);

    /// <summary>Null if no run has class groups.</summary>
    public static Block? GroupMeans(IReadOnlyList<ReportEntry> all) => all.Any(Grouped) ? FigureOrNote.Create(
        all, Grouped, "head, medium and tail rows in exits.csv, which class-imbalanced runs write",
        entries => new Figure(
            "groups", "Accuracy of head, medium and tail",
            $"Test accuracy of an exit on the thirds of the classes with the most, a medium number of and the fewest training images "
                + $"(exits.csv{Means.Caption(entries)}).",
            "bars", new Axis("classes", "category"), new Axis("test accuracy, %", "percent") { FromZero = true, Max = 100 },
            Views(entries, GroupRows, row => row.Exit, Groups, row => row.Classes, row => row.Accuracy))
        {
            Choices = ["exit"],
        }, FigureOrNote.Detailed) : null;

    private static bool Grouped(ReportEntry entry) => entry.Runs.SelectMany(GroupRows).Any();

    private static IReadOnlyList<ExitRow> GroupRows(ReportedRun run) => [.. run.Exits.Where(row => Groups.Contains(row.Classes))];

    /// <summary>Names of all classes, in descending order of training images.</summary>
    private static string[] Names(IReadOnlyList<ReportEntry> entries)
        => [.. entries.SelectMany(entry => entry.Runs).SelectMany(run => run.Classes)
        .GroupBy(row => row.Name).OrderByDescending(rows => rows.Max(row => row.TrainImages)).ThenBy(rows => rows.Min(row => row.Class))
            .Select(rows => rows.Key)];

    /// <summary>Bars per category, with one view per exit choice.</summary>
    private static View[] Views<T>(
        IReadOnlyList<ReportEntry> entries, Func<ReportedRun, IReadOnlyList<T>> rows, Func<T, int> exitOf,
        string[] categories, Func<T, string> category, Func<T, double> value)
    {
        int exits = entries.SelectMany(entry => entry.Runs).SelectMany(rows).Select(exitOf).DefaultIfEmpty().Max();
        return [.. ExitChoice.UpTo(exits).Select(exit => new View(
            [.. entries.Select(entry => SeriesOf(entry, exit)).Where(series => series.Points.Any(point => point.Y is not null))])
        {
            Labels = [exit.Label],
            Categories = categories,
        })];

        Series SeriesOf(ReportEntry entry, ExitChoice exit)
        {
            ILookup<string, double> values = entry.Runs.SelectMany(run => At(rows(run), exit)).ToLookup(category, value);
            return new Series(
                entry.Name, entry.Colour,
                [
                    .. categories.Select(
                        (name, k) => values[name].ToArray() is [_, ..] of ? Means.AtPoint(k, of, null) : new Point(k, null))
                ]);
        }

        IEnumerable<T> At(IReadOnlyList<T> all, ExitChoice exit)
        {
            int chosen = exit.Select(all.Select(exitOf).DefaultIfEmpty().Max());
            return all.Where(row => exitOf(row) == chosen);
        }
    }
}

using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>How later exits change the predictions of earlier ones, and which images need them.</summary>
internal static class DepthFigures
{
    private static readonly int[] Budgets = [20, 10, 30]; // p; the equal shares of exits.csv first

    private static readonly (string Name, Func<ExitRow, double?> Value)[] Quantities =
    [
        ("accuracy", row => row.Accuracy),
        ("oracle", row => row.Oracle),
        ("overthinking", row => row.Overthinking),
        ("premature", row => row.Premature),
    ];

    /// <summary>Overthinking (Kaya et al., 2019) and the oracle, by exit.</summary>
    public static Block Overthinking(IReadOnlyList<ReportEntry> all) => FigureOrNote.Create(
        all, entry => entry.Runs.Any(run => run.Exits.Count > 0), "exits.csv, which a run writes at its end",
        entries => new Figure(
            "overthinking", "Overthinking and the oracle",
            "Shares of the test images that going deeper harms (overthinking: correct at this exit, wrong at the last) or helps "
                + "(premature: wrong at this exit, correct at the last); accuracy of this exit, and of an oracle: this exit or an earlier "
                + $"one is correct (exits.csv{Means.Caption(entries)}).",
            "lines", new Axis("exit", "whole"), new Axis("share of test images, %", "percent"),
            entries is [var only]
                ? [Everything(only)]
                :
                [
                    .. from quantity in Quantities
                       let curves = entries.Select(entry => Curve(entry, quantity.Value, entry.Name, entry.Colour))
                       select new View(Drawn(curves)) { Labels = [quantity.Name] },
                ])
        {
            Choices = entries.Count == 1 ? null : ["share"],
        });

    /// <summary>For the test images that leave at each exit: which exit is the first that is correct.</summary>
    public static Block Difficulty(IReadOnlyList<ReportEntry> all) => FigureOrNote.Create(
        all, entry => entry.First.Answers.Images > 0 && entry.First.Dynamic.Count > 0,
        "predictions.csv and dynamic.csv, which a run writes at its end unless export.predictions=false or data.validation=0",
        entries => new Figure(
            "difficulty", "Difficulty against exit",
            "Of the test images that leave at an exit under a budget, the share by difficulty: the first exit that is correct. Images in "
                + "the colour of a later exit left too early, in that of an earlier one too late "
                + $"(predictions.csv, dynamic.csv{Means.FirstRunCaption(entries)}).",
            "shares", new Axis("exit where the image leaves", "category"),
            new Axis("share of those that leave there, %", "percent") { FromZero = true, Max = 100 },
            [.. entries.SelectMany(Leaving)])
        {
            Choices = ["run", "budget"],
        }, FigureOrNote.Detailed);

    private static View Everything(ReportEntry entry)
        => new(Drawn(Quantities.Select((quantity, k) => Curve(entry, quantity.Value, quantity.Name, new Colour("run", k, 0)))));

    private static Series Curve(ReportEntry entry, Func<ExitRow, double?> value, string name, Colour colour) => new(
        name, colour, Means.Curve(entry, run => run.Exits.Where(row => row.Classes == "all")
            .Select(row => new Value(row.Exit, row.Exit, value(row) ?? double.NaN))));

    private static Series[] Drawn(IEnumerable<Series> series) => [.. series.Where(curve => curve.Points.Count > 0)];

    private static IEnumerable<View> Leaving(ReportEntry entry)
    {
        ILookup<int, DynamicRow> budgets = entry.First.Dynamic.ToLookup(row => row.P);
        int[] shown = [.. Budgets.Where(budgets.Contains)];
        return from p in shown.Length > 0 ? shown : [entry.First.Dynamic[0].P]
               select new View(Composition(entry.First.Answers, [.. budgets[p].OrderBy(row => row.Exit)]))
               {
                   Labels = [entry.Name, FormattableString.Invariant($"p = {p}, q = {budgets[p].First().Q:0.##}")],
                   Categories = [.. budgets[p].Select(row => $"exit {row.Exit}")],
               };
    }

    private static Series[] Composition(TestAnswers answers, DynamicRow[] budget)
    {
        int exits = answers.Exits, never = exits;
        var counts = new int[exits, exits + 1]; // by the exit where an image leaves, and the first that is correct
        int[] all = new int[exits];
        for (int image = 0; image < answers.Images; image++)
        {
            int left = First(exits - 1, exit => answers.Confidence(image, exit) >= (budget[exit].Threshold ?? float.PositiveInfinity));
            counts[left, First(never, exit => answers.IsCorrect(image, exit))]++;
            all[left]++;
        }

        return [.. Enumerable.Range(0, exits + 1).Select(right => new Series(
            right == never ? "no exit is correct" : $"exit {right + 1} is the first that is correct",
            right == never ? Colour.Guide : Colour.Exit(right + 1, exits),
            [.. Enumerable.Range(0, exits).Select(left => new Point(
                left, all[left] == 0 ? null : (double)counts[left, right] / all[left], Label: $"{counts[left, right]} images"))]))];

        int First(int otherwise, Func<int, bool> holds)
        {
            int exit = 0;
            while (exit < exits && !holds(exit))
            {
                exit++;
            }

            return exit < exits ? exit : otherwise;
        }
    }
}

using MathNet.Numerics.Statistics;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>How similarly two exits rank the test images by confidence (IMTA, Figure 7).</summary>
internal static class RankFigure
{
    private const int MaxImages = 1500;
    private const int MaxImagesOfAll = 15_000; // bounds the size of the page

    public static Block Build(IReadOnlyList<ReportEntry> all)
    {
        var columns = new List<double[]>();
        return FigureOrNote.Create(
            all, entry => entry.First.Answers.Images > 0, "predictions.csv, which a run writes at its end unless export.predictions=false",
            entries => new Figure(
            "ranks", "Confidence ranks at two exits",
            $"Each point is a test image: its rank by confidence (1 is the most confident) at an earlier and at a later exit "
                + "(predictions.csv, and correlation.csv for Spearman's rank correlation; "
                + $"at most {Most(entries)} images, evenly sampled{Means.FirstRunCaption(entries)}).",
            "scatter", new Axis("rank at the earlier exit", "whole") { FromZero = true }, new Axis(
                "rank at the later exit", "whole")
            { FromZero = true },
            [.. entries.SelectMany(entry => Views(entry, columns, Most(entries)))])
            {
                Choices = ["run", "exits"],
                Columns = columns,
            }, FigureOrNote.Detailed);
    }

    private static int Most(IReadOnlyList<ReportEntry> entries) => Math.Min(MaxImages, MaxImagesOfAll / Math.Max(1, entries.Count));

    /// <summary>One view per pair of exits, starting with the first and the last.</summary>
    private static IEnumerable<View> Views(ReportEntry entry, List<double[]> columns, int most)
    {
        int before = columns.Count;
        columns.AddRange(Ranks(entry.First.Answers, most));
        int exits = columns.Count - before;
        return from pair in (from a in Enumerable.Range(0, exits) from b in Enumerable.Range(a + 1, exits - a - 1) select (A: a, B: b))
            .OrderBy(pair => pair.A)
            .ThenByDescending(pair => pair.B)
               select new View([new Series(entry.Name, entry.Colour, []) { Columns = [before + pair.A, before + pair.B] }])
               {
                   Labels = [entry.Name, $"exit {pair.A + 1} and exit {pair.B + 1}"],
                   Remark = Spearman(entry, pair.A + 1, pair.B + 1) is { } rho
                       ? FormattableString.Invariant($"Spearman's rank correlation {rho:0.000}")
                       : null,
               };
    }

    private static double? Spearman(ReportEntry entry, int a, int b)
        => entry.First.Correlation.FirstOrDefault(row => row.ExitA == a && row.ExitB == b)?.Spearman;

    /// <summary>Per exit, the ranks of an evenly spaced subset of images.</summary>
    private static IEnumerable<double[]> Ranks(TestAnswers answers, int most) => Enumerable.Range(0, answers.Exits).Select(exit =>
    {
        double[] ranks = ArrayStatistics.RanksInplace(
            [.. Enumerable.Range(0, answers.Images).Select(image => -(double)answers.Confidence(image, exit))], RankDefinition.Average);
        int kept = Math.Min(ranks.Length, most);
        return Enumerable.Range(0, kept).Select(k => ranks[(int)((long)k * ranks.Length / kept)]).ToArray();
    });
}

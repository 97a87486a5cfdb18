using System.Globalization;
using Imta.MetaWeight.Experiments.Evaluation;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>How far exits can be trusted, and what they confuse, from their predictions for the test images.</summary>
internal static class AnswerFigures
{
    private const string Needed = "predictions.csv, which a run writes at its end unless export.predictions=false";
    private const int MaxClasses = 20;
    private const string Other = "another class";

    /// <summary>Reliability diagram (Guo et al., 2017).</summary>
    public static Block Reliability(IReadOnlyList<ReportEntry> all) => FigureOrNote.Create(
        all, HasAnswers, Needed, entries => new Figure(
            "reliability", "Reliability diagram",
            $"Accuracy against confidence on the test images, in {Diagnostics.Bins} bins of equal width at each exit, with its expected "
                + "calibration error (ECE); below the diagonal an exit is overconfident "
                + $"(predictions.csv{Means.FirstRunCaption(entries)}).",
            "lines", new Axis("mean confidence, %", "percent") { FromZero = true, Max = 100 },
            new Axis("accuracy, %", "percent") { FromZero = true, Max = 100 }, [.. entries.Select(BinsOf)])
        {
            Choices = ["run"],
        }, FigureOrNote.Detailed);

    /// <summary>Confusion matrix of each exit.</summary>
    public static Block Confusion(IReadOnlyList<ReportEntry> all) => FigureOrNote.Create(
        all, HasAnswers, Needed, entries => new Figure(
            "confusion", "Confusion matrix",
            "Share of each class's test images that an exit assigns to each class; with more than "
                + $"{MaxClasses} classes, only those that the last exit confuses most (predictions.csv{Means.FirstRunCaption(entries)}).",
            "matrix", new Axis("predicted class", "category"), new Axis("true class", "category"), [.. entries.SelectMany(Matrices)])
        {
            Choices = ["run", "exit"],
        }, FigureOrNote.Detailed);

    private static bool HasAnswers(ReportEntry entry) => entry.First.Answers.Images > 0;

    private static View BinsOf(ReportEntry entry)
    {
        TestAnswers answers = entry.First.Answers;
        IEnumerable<Series> exits = Enumerable.Range(0, answers.Exits).Select(exit =>
        {
            int[] images = [.. Enumerable.Range(0, answers.Images)];
            double error = Diagnostics.CalibrationError(
                [.. images.Select(image => answers.IsCorrect(image, exit))], [.. images.Select(image => answers.Confidence(image, exit))]);
            return new Series(
                string.Create(CultureInfo.InvariantCulture, $"exit {exit + 1}, ECE {100 * error:0.0} %"),
                Colour.Exit(exit + 1, answers.Exits),
                [
                    .. images.GroupBy(image => Diagnostics.BinOf(answers.Confidence(image, exit))).OrderBy(bin => bin.Key)
                        .Select(bin => new Point(
                            bin.Average(image => answers.Confidence(image, exit)),
                            bin.Average(image => answers.IsCorrect(image, exit) ? 1.0 : 0), Label: $"{bin.Count()} images")),
                ]);
        });
        var diagonal = new Series("calibrated", Colour.Guide, [new Point(0, 0), new Point(1, 1)]);
        return new View([.. exits, diagonal]) { Labels = [entry.Name] };
    }

    private static IEnumerable<View> Matrices(ReportEntry entry)
    {
        TestAnswers answers = entry.First.Answers;
        Dictionary<long, string> names = entry.First.Classes.DistinctBy(row => row.Class).ToDictionary(row => row.Class, row => row.Name);
        long[] classes = Confused(answers);
        Dictionary<long, int> places = classes.Index().ToDictionary(at => at.Item, at => at.Index);
        string[] categories = [.. classes.Select(label => names.GetValueOrDefault(label, label.ToString(CultureInfo.InvariantCulture)))];
        bool isWhole = Enumerable.Range(0, answers.Images).Where(image => places.ContainsKey(answers.Label(image)))
            .All(image => Enumerable.Range(0, answers.Exits).All(exit => places.ContainsKey(answers.Answer(image, exit))));
        return from exit in Enumerable.Range(0, answers.Exits).Reverse()
               select new View([new Series(entry.Name, entry.Colour, []) { Counts = Counts(exit) }])
               {
                   Labels = [entry.Name, $"exit {exit + 1}"],
                   Categories = isWhole ? categories : [.. categories, Other],
               };

        int[][] Counts(int exit)
        {
            int[][] counts = [.. classes.Select(_ => new int[classes.Length + (isWhole ? 0 : 1)])];
            for (int image = 0; image < answers.Images; image++)
            {
                if (places.TryGetValue(answers.Label(image), out int row))
                {
                    counts[row][places.GetValueOrDefault(answers.Answer(image, exit), classes.Length)]++;
                }
            }

            return counts;
        }
    }

    /// <summary>All classes or, if there are many, those that the last exit confuses most. In label order.</summary>
    private static long[] Confused(TestAnswers answers)
    {
        var errors = new Dictionary<long, int>();
        for (int image = 0; image < answers.Images; image++)
        {
            long label = answers.Label(image);
            foreach (int exit in Enumerable.Range(0, answers.Exits))
            {
                long answer = answers.Answer(image, exit);
                int wrong = exit == answers.Exits - 1 && answer != label ? 1 : 0;
                errors[label] = errors.GetValueOrDefault(label) + wrong;
                errors[answer] = errors.GetValueOrDefault(answer) + wrong;
            }
        }

        return [.. errors.OrderByDescending(pair => pair.Value).ThenBy(pair => pair.Key).Take(MaxClasses).Select(pair => pair.Key).Order()];
    }
}

using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>Training curves by epoch (IMTA, Figure 6).</summary>
internal static class TrainingFigures
{
    public static Block Accuracy(IReadOnlyList<ReportEntry> all) => Curves(
        all, "validation-accuracy", "Validation accuracy during training", "Accuracy of an exit on the held-out validation images after "
            + "each epoch",
        new Axis("validation accuracy, %", "percent"), row => row.ValidationAccuracy, "validation accuracies in epochs.csv, which are "
            + "written from the first epoch unless data.validation=0");

    public static Block Loss(IReadOnlyList<ReportEntry> all) => Curves(
        all, "train-loss", "Training loss", "Mean cross-entropy of an exit on the training images in each epoch",
        new Axis("training loss, nats", "number"), row => row.TrainLoss, "epochs.csv, which is written with a run's first epoch");

    private static Block Curves(
        IReadOnlyList<ReportEntry> all, string id, string title, string what, Axis axis, Func<SavedEpoch, double?> value, string needed)
        => FigureOrNote.Create(
            all, entry => entry.Runs.Any(run => run.Epochs.Any(row => value(row) is not null)), needed, entries => new Figure(
            id, title, $"{what} (epochs.csv{Means.Caption(entries)}).", "lines", new Axis("epoch", "whole"), axis,
            [.. ExitChoice.UpTo(entries.SelectMany(entry => entry.Runs).Max(LastExit) ?? 0)
                .Select(exit => new View(SeriesAt(entries, exit, value)) { Labels = [exit.Label], Marks = PhaseTwo(entries) })])
            { Choices = ["exit"] });

    private static Series[] SeriesAt(IReadOnlyList<ReportEntry> entries, ExitChoice exit, Func<SavedEpoch, double?> value)
        => [.. entries.Select(entry => new Series(entry.Name, entry.Colour, CurveOf(entry, exit, value)))
            .Where(series => series.Points.Count > 0)];

    private static int? LastExit(ReportedRun run) => run.Epochs.Max(row => (int?)row.Exit);

    private static IReadOnlyList<Point> CurveOf(ReportEntry entry, ExitChoice exit, Func<SavedEpoch, double?> value)
        => Means.Curve(entry, run =>
    {
        int chosen = exit.Select(LastExit(run) ?? 0);
        return run.Epochs.Where(row => row.Exit == chosen).Select(row => new Value(row.Epoch, row.Epoch, value(row) ?? double.NaN));
    });

    /// <summary>The start of phase II.</summary>
    private static Mark[]? PhaseTwo(IReadOnlyList<ReportEntry> entries)
    {
        Mark[] marks = [.. entries.SelectMany(entry => entry.Runs)
            .Select(run => run.Epochs.Where(row => row.Phase == 2).Min(row => (int?)row.Epoch))
            .OfType<int>().Where(first => first > 1).Distinct().Order().Select(first => new Mark(first - 0.5, "phase II"))];
        return marks.Length == 0 ? null : marks;
    }
}

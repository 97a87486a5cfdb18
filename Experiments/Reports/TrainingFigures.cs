using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>Training curves by epoch (IMTA, Figure 6).</summary>
internal static class TrainingFigures
{
    private const string FromFirstEpoch = "epochs.csv, which is written with a run's first epoch";
    private const int MaxPoints = 20_000; // of a figure; bounds the size of the page

    /// <summary>What a view shows: its labels, and a run's values by epoch.</summary>
    private sealed record Curve(IReadOnlyList<string>? Labels, Func<ReportedRun, IEnumerable<Value>> Values);

    public static Block Accuracy(IReadOnlyList<ReportEntry> all) => PerExit(
        all, "validation-accuracy", "Validation accuracy during training", "Accuracy of an exit on the validation images after "
            + "each epoch",
        new Axis("validation accuracy, %", "percent"), "validation accuracies in epochs.csv, which are written from the first epoch "
            + "unless data.validation=0", row => row.ValidationAccuracy);

    public static Block Loss(IReadOnlyList<ReportEntry> all) => PerExit(
        all, "train-loss", "Training loss", "Mean cross-entropy of an exit on the training images in each epoch",
        new Axis("training loss, nats", "number"), FromFirstEpoch, row => row.TrainLoss);

    public static Block ValidationLoss(IReadOnlyList<ReportEntry> all) => PerExit(
        all, "validation-loss", "Validation loss", "Mean cross-entropy of an exit on the validation images after each epoch",
        new Axis("validation loss, nats", "number"), "validation losses in epochs.csv, which are written from the first epoch "
            + "unless data.validation=0", row => row.ValidationLoss);

    /// <summary>Null if no run has a meta loss.</summary>
    public static Block? MetaLoss(IReadOnlyList<ReportEntry> all) => OrNull(Draw(
        all, "meta-loss", "Meta loss", "Meta objective after the lookahead, summed over exits, mean over each epoch (epochs.csv",
        new Axis("meta loss, nats", "number"), null, "meta losses in epochs.csv, which runs with meta.enabled=true write",
        [new Curve(null, run => OfExit(run, 1, row => row.MetaLoss))]));

    public static Block Rates(IReadOnlyList<ReportEntry> all) => Draw(
        all, "rates", "Learning rates", "Learning rate at each epoch's first batch (epochs.csv",
        new Axis("learning rate", "number") { FromZero = true }, ["of"], FromFirstEpoch,
        [
            new Curve(["the backbone"], run => OfExit(run, 1, row => row.Rate)),
            new Curve(["the weight-prediction network"], run => OfExit(run, 1, row => row.MetaRate)),
        ]);

    public static Block Time(IReadOnlyList<ReportEntry> all) => Draw(
        all, "epoch-time", "Time per epoch", "Seconds of each epoch, data included (timing.csv",
        new Axis("seconds", "number") { FromZero = true }, ["stage"], "timing.csv, which is written with a run's first epoch",
        [
            new Curve(["training"], run => run.Timing.Select(row => new Value(row.Epoch, row.Epoch, row.TrainSeconds))),
            new Curve(["validation"], run => run.Timing.Select(row => new Value(row.Epoch, row.Epoch, row.ValidationSeconds))),
        ]);

    public static Block Speed(IReadOnlyList<ReportEntry> all) => Draw(
        all, "speed", "Training speed", "Training images per second of training (timing.csv",
        new Axis("images per second", "number") { FromZero = true }, null, "timing.csv, which is written with a run's first epoch",
        [new Curve(null, run => run.Timing.Select(row => new Value(row.Epoch, row.Epoch, row.TrainImagesPerSecond)))]);

    /// <summary>Null if no run's weights vary.</summary>
    public static Block? Weights(IReadOnlyList<ReportEntry> all)
    {
        ReportEntry[] varying = [.. all.Where(entry => entry.Runs.Any(run => run.Epochs.Any(row => row.WeightStd > 0)))];
        return varying.Length == 0 ? null : Draw(
            varying, "weights-epochs", "Weights during training", "Mean and standard deviation of the training samples' weights at an exit "
                + "in each epoch (epochs.csv",
            new Axis("sample weight", "number"), ["value", "exit"], FromFirstEpoch,
            [
                .. from value in new (string Name, Func<SavedEpoch, double?> Of)[]
                    { ("standard deviation", row => row.WeightStd), ("mean", row => row.WeightMean) }
                from exit in ExitChoice.UpTo(LastExit(varying))
                select new Curve([value.Name, exit.Label], run => OfExit(run, exit.Select(LastExit(run)), value.Of)),
            ]);
    }

    private static Block PerExit(
        IReadOnlyList<ReportEntry> all, string id, string title, string what, Axis axis, string needed, Func<SavedEpoch, double?> value)
        => Draw(
            all, id, title, $"{what} (epochs.csv", axis, ["exit"], needed,
            [
                .. ExitChoice.UpTo(LastExit(all)).Select(
                    exit => new Curve([exit.Label], run => OfExit(run, exit.Select(LastExit(run)), value))),
            ]);

    private static Block Draw(
        IReadOnlyList<ReportEntry> all, string id, string title, string what, Axis axis, IReadOnlyList<string>? choices, string needed,
        IReadOnlyList<Curve> curves)
        => FigureOrNote.Create(
            all, entry => entry.Runs.Any(run => curves.Any(curve => curve.Values(run).Any(value => double.IsFinite(value.Y)))), needed,
            entries => new Figure(
                id, title, $"{what}{Means.Caption(entries)}).", "lines", new Axis("epoch", "whole"), axis, Thinned([.. curves
                    .Select(curve => new View(SeriesOf(entries, curve)) { Labels = curve.Labels, Marks = PhaseTwo(entries) })]))
            {
                Choices = choices,
            });

    private static Block? OrNull(Block block) => block as Figure;

    private static Series[] SeriesOf(IReadOnlyList<ReportEntry> entries, Curve curve)
        => [.. entries.Select(entry => new Series(entry.Name, entry.Colour, Means.Curve(entry, curve.Values)))
            .Where(series => series.Points.Count > 0)];

    private static IEnumerable<Value> OfExit(ReportedRun run, int exit, Func<SavedEpoch, double?> value)
        => run.Epochs.Where(row => row.Exit == exit).Select(row => new Value(row.Epoch, row.Epoch, value(row) ?? double.NaN));

    private static int LastExit(ReportedRun run) => run.Epochs.Select(row => row.Exit).DefaultIfEmpty().Max();

    private static int LastExit(IReadOnlyList<ReportEntry> entries)
        => entries.SelectMany(entry => entry.Runs).Select(LastExit).DefaultIfEmpty().Max();

    /// <summary>If there are too many points: every nth point of each curve, and its last.</summary>
    private static View[] Thinned(View[] views)
    {
        int step = (views.Sum(view => view.Series.Sum(series => series.Points.Count)) + MaxPoints - 1) / MaxPoints;
        return step <= 1 ? views : [.. views.Select(view => view with
        {
            Remark = $"every {step} epochs, and the last",
            Series = [.. view.Series.Select(series => series with
            {
                Points = [.. series.Points.Where((_, k) => k % step == 0 || k == series.Points.Count - 1)],
            })],
        })];
    }

    /// <summary>The start of phase II.</summary>
    private static Mark[]? PhaseTwo(IReadOnlyList<ReportEntry> entries)
    {
        Mark[] marks = [.. entries.SelectMany(entry => entry.Runs)
            .Select(run => run.Epochs.Where(row => row.Phase == 2).Min(row => (int?)row.Epoch))
            .OfType<int>().Where(first => first > 1).Distinct().Order().Select(first => new Mark(first - 0.5, "phase II"))];
        return marks.Length == 0 ? null : marks;
    }
}

using System.Text.RegularExpressions;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Meta;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>A column of <c>epochs.csv</c>: its name, its meaning, and its value at each exit after an epoch.</summary>
public sealed partial class EpochColumn
{
    /// <summary>The column that the progress line shows too.</summary>
    internal const string TrainLoss = "train_loss";

    private const string Rates = "learning rates of backbone and WPN at the epoch's first batch";
    private const string HeldOut = "plain cross-entropy and accuracy on the validation images after the epoch";
    private const string Weights = "of the training samples' weights: mean and population standard deviation";

    /// <param name="name">The header, in snake_case, unique; in checkpoints the name of the sums of <paramref name="samples"/>.</param>
    /// <param name="meaning">What it is, for <c>docs/files.md</c>.</param>
    /// <param name="value">Its value at an exit after an epoch; null: an empty field.</param>
    /// <param name="samples">
    /// Samples of a half batch that are summed over the epoch and over all ranks, for <see cref="ExitEpoch.Samples"/>: <c>[n, K]</c>, or
    /// <c>[n, 1]</c> if all K exits share them, on the half batch's device; null: it has none. Called for each half batch that is not
    /// skipped, with Meta-GF only in an epoch's last pass, after its update, within a dispose scope.
    /// </param>
    /// <exception cref="ArgumentException">The name is not in snake_case.</exception>
    public EpochColumn(string name, string meaning, Func<ExitEpoch, double?> value, Func<HalfBatchReport, Tensor?>? samples = null)
    {
        if (!SnakeCase().IsMatch(name))
        {
            throw new ArgumentException($"column '{name}': a name in snake_case is expected", nameof(name));
        }

        (Name, Meaning, Value, Samples) = (name, meaning, value, samples);
    }

    /// <summary>The header.</summary>
    public string Name { get; }

    /// <summary>What it is.</summary>
    public string Meaning { get; }

    /// <summary>Its value at an exit after an epoch.</summary>
    public Func<ExitEpoch, double?> Value { get; }

    /// <summary>Its samples of a half batch; null: it has none.</summary>
    public Func<HalfBatchReport, Tensor?>? Samples { get; }

    /// <summary>Whether all exits have the same value; TensorBoard then gets one curve.</summary>
    internal bool IsShared { get; init; }

    /// <summary>Whether it identifies the row and is not a quantity.</summary>
    internal bool IsPosition { get; init; }

    /// <summary>The columns of every run, in order.</summary>
    internal static IReadOnlyList<EpochColumn> Defaults { get; } =
    [
        new("epoch", "of the run; phase II continues the count", at => at.Epoch) { IsPosition = true },
        new("phase", "2 in phase II, else 1", at => at.Phase) { IsPosition = true },
        new("exit", "from 1", at => at.Exit) { IsPosition = true },
        new("rate", Rates, at => at.Rate) { IsShared = true },
        new("meta_rate", Rates, at => at.MetaRate) { IsShared = true },
        new(TrainLoss, "mean plain cross-entropy of the augmented training samples, before the update on their batch or half batch",
            at => at.Samples.Mean, half => half.CrossEntropies),
        new("train_weighted_loss", "mean of sample weight times training loss (with all `loss` settings), which the backbone minimises",
            at => at.Samples.Mean, half => half.Losses.to_type(float64) * half.Weights.to_type(float64)),
        new("train_accuracy", "on the same samples", at => at.Samples.Mean, half => half.Correct),
        new("validation_loss", HeldOut, at => at.ValidationLoss),
        new("validation_accuracy", HeldOut, at => at.ValidationAccuracy),
        new("meta_loss", "meta objective after the lookahead, summed over exits; mean over half batches with a WPN update",
            at => at.Samples.Mean, half => half.Objective?.view(1, 1)) { IsShared = true },
        new("weight_mean", Weights, at => at.Samples.Mean, half => half.Weights),
        new("weight_std", Weights, at => at.Samples.StandardDeviation, half => half.Weights),
        new("skipped_batches",
            "skipped because of a NaN or infinite loss or gradient (`--skip-nonfinite`, `run.skipNonFinite`); not counted in other columns",
            at => at.SkippedBatches) { IsShared = true },
    ];

    /// <summary>The columns of every run, then others.</summary>
    /// <exception cref="ArgumentException">Two have the same name.</exception>
    internal static IReadOnlyList<EpochColumn> DefaultsAnd(IEnumerable<EpochColumn> added)
    {
        EpochColumn[] all = [.. Defaults, .. added];
        return all.GroupBy(column => column.Name).FirstOrDefault(same => same.Count() > 1) is { } twice
            ? throw new ArgumentException($"epochs.csv already has a column '{twice.Key}'", nameof(added))
            : all;
    }

    /// <exception cref="UsageException">A run's table has different columns from those to be written.</exception>
    internal static void CheckHeader(string table, IReadOnlyList<EpochColumn> columns)
    {
        string[] written = [.. columns.Select(column => column.Name)];
        if (CsvTable.Header(table) is { } header && !header.SequenceEqual(written))
        {
            throw new UsageException(
                $"{table} has the columns {string.Join(",", header)}, but this program writes {string.Join(",", written)}; "
                + "resume the run with the program that started it");
        }
    }

    [GeneratedRegex("^[a-z][a-z0-9_]*$")]
    private static partial Regex SnakeCase();
}

/// <summary>What is known about an exit after an epoch.</summary>
public sealed record ExitEpoch
{
    /// <summary>The epoch of the run, from 1, over both phases.</summary>
    public required int Epoch { get; init; }

    /// <summary>1 or 2.</summary>
    public required int Phase { get; init; }

    /// <summary>From 1.</summary>
    public required int Exit { get; init; }

    /// <summary>Learning rate of the backbone at the epoch's first batch.</summary>
    public required double Rate { get; init; }

    /// <summary>Learning rate of the WPN there; null without one.</summary>
    public required double? MetaRate { get; init; }

    /// <summary>Mean plain cross-entropy on the validation images, nats; null without such images.</summary>
    public required double? ValidationLoss { get; init; }

    /// <summary>Accuracy on the validation images, a fraction; null without such images.</summary>
    public required double? ValidationAccuracy { get; init; }

    /// <summary>Batches of the epoch that were skipped.</summary>
    public required int SkippedBatches { get; init; }

    /// <summary>The column's own samples at the exit (<see cref="EpochColumn.Samples"/>).</summary>
    public SampleSums Samples { get; init; }
}

/// <summary>Sums over a column's samples at one exit.</summary>
/// <param name="Count">n.</param>
/// <param name="Sum">Σ x.</param>
/// <param name="SumOfSquares">Σ x².</param>
public readonly record struct SampleSums(double Count, double Sum, double SumOfSquares)
{
    /// <summary>Their mean; null if there are none.</summary>
    public double? Mean => Count == 0 ? null : Sum / Count;

    /// <summary>Their population standard deviation; null if there are none.</summary>
    public double? StandardDeviation => Mean is { } mean ? Math.Sqrt(Math.Max(0, (SumOfSquares / Count) - (mean * mean))) : null;
}

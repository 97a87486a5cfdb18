using CsvHelper;
using Imta.MetaWeight.Backbones;

namespace Imta.MetaWeight.Experiments.Runs;

#pragma warning disable CS1591 // The columns are documented in docs/files.md, the rows here.

/// <summary>A row of <c>epochs.csv</c>: one exit in one epoch. Losses and accuracies are means over samples, as fractions of 1.</summary>
[CsvRecord]
public sealed partial record EpochRow
{
    [CsvColumn("epoch")]
    public required int Epoch { get; init; }

    [CsvColumn("phase")]
    public required int Phase { get; init; }

    [CsvColumn("exit")]
    public required int Exit { get; init; }

    [CsvColumn("rate")]
    public required double Rate { get; init; }

    [CsvColumn("meta_rate")]
    public required double? MetaRate { get; init; }

    [CsvColumn("train_loss")]
    public required double TrainLoss { get; init; }

    [CsvColumn("train_weighted_loss")]
    public required double TrainWeightedLoss { get; init; }

    [CsvColumn("train_accuracy")]
    public required double TrainAccuracy { get; init; }

    [CsvColumn("validation_loss")]
    public required double? ValidationLoss { get; init; }

    [CsvColumn("validation_accuracy")]
    public required double? ValidationAccuracy { get; init; }

    [CsvColumn("meta_loss")]
    public required double? MetaLoss { get; init; }

    [CsvColumn("weight_mean")]
    public required double WeightMean { get; init; }

    [CsvColumn("weight_std")]
    public required double WeightStd { get; init; }

    [CsvColumn("skipped_batches")]
    public required int SkippedBatches { get; init; }
}

/// <summary>A row of <c>timing.csv</c>: one epoch. All that is not reproducible.</summary>
[CsvRecord]
public sealed partial record TimingRow
{
    [CsvColumn("epoch")]
    public required int Epoch { get; init; }

    [CsvColumn("train_seconds")]
    public required double TrainSeconds { get; init; }

    [CsvColumn("train_images_per_second")]
    public required double TrainImagesPerSecond { get; init; }

    [CsvColumn("validation_seconds")]
    public required double ValidationSeconds { get; init; }

    [CsvColumn("peak_memory_mib")]
    public required double PeakMemoryMib { get; init; }
}

/// <summary>A row of <c>cost.csv</c>: what it costs to answer at one exit, for one image, earlier exits included.</summary>
[CsvRecord]
public sealed partial record CostRow
{
    [CsvColumn("exit")]
    public required int Exit { get; init; }

    [CsvColumn("macs")]
    public required long Macs { get; init; }

    [CsvColumn("macs_share")]
    public required double MacsShare { get; init; }

    [CsvColumn("parameters")]
    public required long Parameters { get; init; }

    /// <summary>The table of a network.</summary>
    internal static CostRow[] Table(NetworkCost cost) => [.. cost.Exits.Select((exit, k) => new CostRow
    {
        Exit = k + 1,
        Macs = exit.Macs,
        MacsShare = (double)exit.Macs / cost.Exits[^1].Macs,
        Parameters = exit.Parameters,
    })];
}

/// <summary>A row of <c>weights/epoch-NNNN.csv</c>: one training sample at one exit.</summary>
[CsvRecord]
public sealed partial record WeightRow
{
    [CsvColumn("sample")]
    public required long Sample { get; init; }

    [CsvColumn("label")]
    public required long Label { get; init; }

    [CsvColumn("difficulty")]
    public required float? Difficulty { get; init; }

    [CsvColumn("exit")]
    public required int Exit { get; init; }

    [CsvColumn("loss")]
    public required float Loss { get; init; }

    [CsvColumn("confidence")]
    public required float Confidence { get; init; }

    [CsvColumn("weight")]
    public required float Weight { get; init; }
}

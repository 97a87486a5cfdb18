using CsvHelper.Configuration.Attributes;
using Imta.MetaWeight.Backbones;

namespace Imta.MetaWeight.Experiments.Runs;

#pragma warning disable CS1591 // The columns are documented in docs/files.md, the rows here.

/// <summary>A row of <c>epochs.csv</c>: one exit in one epoch. Losses and accuracies are means over samples, as fractions of 1.</summary>
public sealed record EpochRow
{
    [Name("epoch"), Index(0)]
    public required int Epoch { get; init; }

    [Name("phase"), Index(1)]
    public required int Phase { get; init; }

    [Name("exit"), Index(2)]
    public required int Exit { get; init; }

    [Name("rate"), Index(3)]
    public required double Rate { get; init; }

    [Name("meta_rate"), Index(4)]
    public required double? MetaRate { get; init; }

    [Name("train_loss"), Index(5)]
    public required double TrainLoss { get; init; }

    [Name("train_weighted_loss"), Index(6)]
    public required double TrainWeightedLoss { get; init; }

    [Name("train_accuracy"), Index(7)]
    public required double TrainAccuracy { get; init; }

    [Name("validation_loss"), Index(8)]
    public required double? ValidationLoss { get; init; }

    [Name("validation_accuracy"), Index(9)]
    public required double? ValidationAccuracy { get; init; }

    [Name("meta_loss"), Index(10)]
    public required double? MetaLoss { get; init; }

    [Name("weight_mean"), Index(11)]
    public required double WeightMean { get; init; }

    [Name("weight_std"), Index(12)]
    public required double WeightStd { get; init; }

    [Name("skipped_batches"), Index(13)]
    public required int SkippedBatches { get; init; }
}

/// <summary>A row of <c>timing.csv</c>: one epoch. All that is not reproducible.</summary>
public sealed record TimingRow
{
    [Name("epoch"), Index(0)]
    public required int Epoch { get; init; }

    [Name("train_seconds"), Index(1)]
    public required double TrainSeconds { get; init; }

    [Name("train_images_per_second"), Index(2)]
    public required double TrainImagesPerSecond { get; init; }

    [Name("validation_seconds"), Index(3)]
    public required double ValidationSeconds { get; init; }

    [Name("peak_memory_mib"), Index(4)]
    public required double PeakMemoryMib { get; init; }
}

/// <summary>A row of <c>cost.csv</c>: what it costs to answer at one exit, for one image, earlier exits included.</summary>
public sealed record CostRow
{
    [Name("exit"), Index(0)]
    public required int Exit { get; init; }

    [Name("macs"), Index(1)]
    public required long Macs { get; init; }

    [Name("macs_share"), Index(2)]
    public required double MacsShare { get; init; }

    [Name("parameters"), Index(3)]
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
public sealed record WeightRow
{
    [Name("sample"), Index(0)]
    public required long Sample { get; init; }

    [Name("label"), Index(1)]
    public required long Label { get; init; }

    [Name("difficulty"), Index(2)]
    public required float? Difficulty { get; init; }

    [Name("exit"), Index(3)]
    public required int Exit { get; init; }

    [Name("loss"), Index(4)]
    public required float Loss { get; init; }

    [Name("confidence"), Index(5)]
    public required float Confidence { get; init; }

    [Name("weight"), Index(6)]
    public required float Weight { get; init; }
}

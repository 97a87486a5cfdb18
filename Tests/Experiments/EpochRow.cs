using CsvHelper;

namespace Imta.MetaWeight.Tests.Experiments;

/// <summary>A row of <c>epochs.csv</c> as its readers find it: the columns of every run, by name.</summary>
[CsvRecord]
internal sealed partial record EpochRow
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

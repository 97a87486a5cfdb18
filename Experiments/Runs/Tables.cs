using System.ComponentModel;
using CsvHelper;
using Imta.MetaWeight.Backbones;

namespace Imta.MetaWeight.Experiments.Runs;

/// <summary>What is read from a row of <c>epochs.csv</c>, one exit in one epoch; <c>EpochColumn</c>s write it.</summary>
[CsvRecord]
internal sealed partial record SavedEpoch
{
    [CsvColumn("epoch")] public required int Epoch { get; init; }
    [CsvColumn("phase")] public required int Phase { get; init; }
    [CsvColumn("exit")] public required int Exit { get; init; }
    [CsvColumn("train_loss")] public required double TrainLoss { get; init; }
    [CsvColumn("validation_loss")] public required double? ValidationLoss { get; init; }
    [CsvColumn("validation_accuracy"), Fraction] public required double? ValidationAccuracy { get; init; }
    [CsvColumn("rate", Optional = true)] public double? Rate { get; init; }
    [CsvColumn("meta_rate", Optional = true)] public double? MetaRate { get; init; }
    [CsvColumn("meta_loss", Optional = true)] public double? MetaLoss { get; init; }
    [CsvColumn("weight_mean", Optional = true)] public double? WeightMean { get; init; }
    [CsvColumn("weight_std", Optional = true)] public double? WeightStd { get; init; }
}

/// <summary>A row of <c>timing.csv</c>: one epoch. Everything that is not reproducible.</summary>
[CsvRecord]
internal sealed partial record TimingRow
{
    [CsvColumn("epoch"), Description("as in `epochs.csv`")] public required int Epoch { get; init; }
    [CsvColumn("train_seconds"), Description("training, data included")] public required double TrainSeconds { get; init; }
    [CsvColumn("train_images_per_second"), Description("training throughput, images per second")]
    public required double TrainImagesPerSecond { get; init; }
    [CsvColumn("validation_seconds"), Description("validation")] public required double ValidationSeconds { get; init; }
    [CsvColumn("peak_memory_mib"), Description("the process's peak resident memory so far, MiB")]
    public required double PeakMemoryMib { get; init; }
}

/// <summary>A row of <c>cost.csv</c>: the cost of a prediction at one exit, per image, including earlier exits.</summary>
[CsvRecord]
internal sealed partial record CostRow
{
    [CsvColumn("exit"), Description("from 1")] public required int Exit { get; init; }
    [CsvColumn("macs"), Description(
        "up to this exit's prediction, earlier blocks and heads included")]
    public required long Macs { get; init; }
    [CsvColumn("macs_share"), Description("of the last exit's")] public required double MacsShare { get; init; }
    [CsvColumn("parameters"), Description("of all layers up to this exit's prediction, batch norm included")]
    public required long Parameters { get; init; }

    /// <summary>The cost table of a network.</summary>
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
internal sealed partial record WeightRow
{
    [CsvColumn("sample"), Description("position in the whole training set, in file order")] public required long Sample { get; init; }
    [CsvColumn("label"), Description("its class")] public required long Label { get; init; }
    [CsvColumn("difficulty"), Description("of generated images: 0 easy … 1 hard")] public required float? Difficulty { get; init; }
    [CsvColumn("exit"), Description("from 1")] public required int Exit { get; init; }
    [CsvColumn("loss"), Description("plain cross-entropy before its half batch's update")] public required float Loss { get; init; }
    [CsvColumn("confidence"), Description("largest softmax probability before this update")] public required float Confidence { get; init; }
    [CsvColumn("weight"), Description("in the real update; 1 in plain training")] public required float Weight { get; init; }
}

using CsvHelper;

namespace Imta.MetaWeight.Experiments.Runs;

#pragma warning disable CS1591 // The columns are documented in docs/files.md, the rows here.

/// <summary>A row of <c>anytime.csv</c>: one exit on the test set.</summary>
[CsvRecord]
public sealed partial record AnytimeRow
{
    [CsvColumn("exit")]
    public required int Exit { get; init; }

    [CsvColumn("top1")]
    public required double Top1 { get; init; }

    [CsvColumn("top5")]
    public required double Top5 { get; init; }

    [CsvColumn("loss")]
    public required double Loss { get; init; }

    [CsvColumn("samples")]
    public required int Samples { get; init; }

    [CsvColumn("macs")]
    public required long Macs { get; init; }

    [CsvColumn("parameters")]
    public required long Parameters { get; init; }
}

/// <summary>A row of <c>dynamic.csv</c>: one exit under one budget.</summary>
[CsvRecord]
public sealed partial record DynamicRow
{
    [CsvColumn("p")]
    public required int P { get; init; }

    [CsvColumn("q")]
    public required double Q { get; init; }

    [CsvColumn("exit")]
    public required int Exit { get; init; }

    [CsvColumn("threshold")]
    public required float? Threshold { get; init; }

    [CsvColumn("validation_share")]
    public required double ValidationShare { get; init; }

    [CsvColumn("test_share")]
    public required double TestShare { get; init; }

    [CsvColumn("test_accuracy_leaving")]
    public required double? TestAccuracyLeaving { get; init; }

    [CsvColumn("validation_accuracy")]
    public required double ValidationAccuracy { get; init; }

    [CsvColumn("test_accuracy")]
    public required double TestAccuracy { get; init; }

    [CsvColumn("validation_macs")]
    public required double ValidationMacs { get; init; }

    [CsvColumn("test_macs")]
    public required double TestMacs { get; init; }
}

/// <summary>A row of <c>exits.csv</c>: one exit on the test images of some classes.</summary>
[CsvRecord]
public sealed partial record ExitRow
{
    [CsvColumn("classes")]
    public required string Classes { get; init; }

    [CsvColumn("exit")]
    public required int Exit { get; init; }

    [CsvColumn("samples")]
    public required int Samples { get; init; }

    [CsvColumn("share")]
    public required double Share { get; init; }

    [CsvColumn("accuracy_leaving")]
    public required double? AccuracyLeaving { get; init; }

    [CsvColumn("accuracy")]
    public required double Accuracy { get; init; }

    [CsvColumn("confidence")]
    public required double Confidence { get; init; }

    [CsvColumn("ece")]
    public required double Ece { get; init; }

    [CsvColumn("auroc")]
    public required double? Auroc { get; init; }

    [CsvColumn("overthinking")]
    public required double Overthinking { get; init; }

    [CsvColumn("oracle")]
    public required double Oracle { get; init; }
}

/// <summary>A row of <c>classes.csv</c>: one exit on the test images of one class.</summary>
[CsvRecord]
public sealed partial record ClassRow
{
    [CsvColumn("class")]
    public required long Class { get; init; }

    [CsvColumn("name")]
    public required string Name { get; init; }

    [CsvColumn("group")]
    public required string? Group { get; init; }

    [CsvColumn("train_images")]
    public required long TrainImages { get; init; }

    [CsvColumn("exit")]
    public required int Exit { get; init; }

    [CsvColumn("samples")]
    public required int Samples { get; init; }

    [CsvColumn("share")]
    public required double Share { get; init; }

    [CsvColumn("accuracy_leaving")]
    public required double? AccuracyLeaving { get; init; }

    [CsvColumn("accuracy")]
    public required double Accuracy { get; init; }
}

/// <summary>A row of <c>correlation.csv</c>: two exits.</summary>
[CsvRecord]
public sealed partial record CorrelationRow
{
    [CsvColumn("exit_a")]
    public required int ExitA { get; init; }

    [CsvColumn("exit_b")]
    public required int ExitB { get; init; }

    [CsvColumn("spearman")]
    public required double? Spearman { get; init; }
}

/// <summary>A row of <c>predictions.csv</c>: one image at one exit.</summary>
[CsvRecord]
public sealed partial record PredictionRow
{
    [CsvColumn("split")]
    public required string Split { get; init; }

    [CsvColumn("sample")]
    public required long Sample { get; init; }

    [CsvColumn("label")]
    public required long Label { get; init; }

    [CsvColumn("exit")]
    public required int Exit { get; init; }

    [CsvColumn("prediction")]
    public required long Prediction { get; init; }

    [CsvColumn("confidence")]
    public required float Confidence { get; init; }
}

/// <summary>A row of <c>latency.csv</c>: answers at one exit, or under one budget, in batches of one size.</summary>
[CsvRecord]
public sealed partial record LatencyRow
{
    [CsvColumn("kind")]
    public required string Kind { get; init; }

    [CsvColumn("batch")]
    public required int Batch { get; init; }

    [CsvColumn("exit")]
    public required int? Exit { get; init; }

    [CsvColumn("p")]
    public required int? P { get; init; }

    [CsvColumn("accuracy")]
    public required double Accuracy { get; init; }

    [CsvColumn("macs")]
    public required double Macs { get; init; }

    [CsvColumn("batches")]
    public required int Batches { get; init; }

    [CsvColumn("median_ms")]
    public required double MedianMs { get; init; }

    [CsvColumn("p95_ms")]
    public required double P95Ms { get; init; }

    [CsvColumn("mean_ms")]
    public required double MeanMs { get; init; }

    [CsvColumn("images_per_second")]
    public required double ImagesPerSecond { get; init; }
}

/// <summary>A row of what <c>imta infer</c> writes: one image.</summary>
[CsvRecord]
public sealed partial record AnswerRow
{
    [CsvColumn("sample")]
    public required long Sample { get; init; }

    [CsvColumn("class")]
    public required long Class { get; init; }

    [CsvColumn("name")]
    public required string Name { get; init; }

    [CsvColumn("confidence")]
    public required float Confidence { get; init; }

    [CsvColumn("exit")]
    public required int Exit { get; init; }

    [CsvColumn("macs")]
    public required long Macs { get; init; }

    [CsvColumn("file")]
    public string? File { get; init; }
}

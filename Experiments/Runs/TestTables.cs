using CsvHelper.Configuration.Attributes;

namespace Imta.MetaWeight.Experiments.Runs;

#pragma warning disable CS1591 // The columns are documented in docs/files.md, the rows here.

/// <summary>A row of <c>anytime.csv</c>: one exit on the test set.</summary>
public sealed record AnytimeRow
{
    [Name("exit"), Index(0)]
    public required int Exit { get; init; }

    [Name("top1"), Index(1)]
    public required double Top1 { get; init; }

    [Name("top5"), Index(2)]
    public required double Top5 { get; init; }

    [Name("loss"), Index(3)]
    public required double Loss { get; init; }

    [Name("samples"), Index(4)]
    public required int Samples { get; init; }

    [Name("macs"), Index(5)]
    public required long Macs { get; init; }

    [Name("parameters"), Index(6)]
    public required long Parameters { get; init; }
}

/// <summary>A row of <c>dynamic.csv</c>: one exit under one budget.</summary>
public sealed record DynamicRow
{
    [Name("p"), Index(0)]
    public required int P { get; init; }

    [Name("q"), Index(1)]
    public required double Q { get; init; }

    [Name("exit"), Index(2)]
    public required int Exit { get; init; }

    [Name("threshold"), Index(3)]
    public required float? Threshold { get; init; }

    [Name("validation_share"), Index(4)]
    public required double ValidationShare { get; init; }

    [Name("test_share"), Index(5)]
    public required double TestShare { get; init; }

    [Name("test_accuracy_leaving"), Index(6)]
    public required double? TestAccuracyLeaving { get; init; }

    [Name("validation_accuracy"), Index(7)]
    public required double ValidationAccuracy { get; init; }

    [Name("test_accuracy"), Index(8)]
    public required double TestAccuracy { get; init; }

    [Name("validation_macs"), Index(9)]
    public required double ValidationMacs { get; init; }

    [Name("test_macs"), Index(10)]
    public required double TestMacs { get; init; }
}

/// <summary>A row of <c>exits.csv</c>: one exit on the test images of some classes.</summary>
public sealed record ExitRow
{
    [Name("classes"), Index(0)]
    public required string Classes { get; init; }

    [Name("exit"), Index(1)]
    public required int Exit { get; init; }

    [Name("samples"), Index(2)]
    public required int Samples { get; init; }

    [Name("share"), Index(3)]
    public required double Share { get; init; }

    [Name("accuracy_leaving"), Index(4)]
    public required double? AccuracyLeaving { get; init; }

    [Name("accuracy"), Index(5)]
    public required double Accuracy { get; init; }

    [Name("confidence"), Index(6)]
    public required double Confidence { get; init; }

    [Name("ece"), Index(7)]
    public required double Ece { get; init; }

    [Name("auroc"), Index(8)]
    public required double? Auroc { get; init; }

    [Name("overthinking"), Index(9)]
    public required double Overthinking { get; init; }

    [Name("oracle"), Index(10)]
    public required double Oracle { get; init; }
}

/// <summary>A row of <c>classes.csv</c>: one exit on the test images of one class.</summary>
public sealed record ClassRow
{
    [Name("class"), Index(0)]
    public required long Class { get; init; }

    [Name("name"), Index(1)]
    public required string Name { get; init; }

    [Name("group"), Index(2)]
    public required string? Group { get; init; }

    [Name("train_images"), Index(3)]
    public required long TrainImages { get; init; }

    [Name("exit"), Index(4)]
    public required int Exit { get; init; }

    [Name("samples"), Index(5)]
    public required int Samples { get; init; }

    [Name("share"), Index(6)]
    public required double Share { get; init; }

    [Name("accuracy_leaving"), Index(7)]
    public required double? AccuracyLeaving { get; init; }

    [Name("accuracy"), Index(8)]
    public required double Accuracy { get; init; }
}

/// <summary>A row of <c>correlation.csv</c>: two exits.</summary>
public sealed record CorrelationRow
{
    [Name("exit_a"), Index(0)]
    public required int ExitA { get; init; }

    [Name("exit_b"), Index(1)]
    public required int ExitB { get; init; }

    [Name("spearman"), Index(2)]
    public required double? Spearman { get; init; }
}

/// <summary>A row of <c>predictions.csv</c>: one image at one exit.</summary>
public sealed record PredictionRow
{
    [Name("split"), Index(0)]
    public required string Split { get; init; }

    [Name("sample"), Index(1)]
    public required long Sample { get; init; }

    [Name("label"), Index(2)]
    public required long Label { get; init; }

    [Name("exit"), Index(3)]
    public required int Exit { get; init; }

    [Name("prediction"), Index(4)]
    public required long Prediction { get; init; }

    [Name("confidence"), Index(5)]
    public required float Confidence { get; init; }
}

/// <summary>A row of <c>latency.csv</c>: answers at one exit, or under one budget, in batches of one size.</summary>
public sealed record LatencyRow
{
    [Name("kind"), Index(0)]
    public required string Kind { get; init; }

    [Name("batch"), Index(1)]
    public required int Batch { get; init; }

    [Name("exit"), Index(2)]
    public required int? Exit { get; init; }

    [Name("p"), Index(3)]
    public required int? P { get; init; }

    [Name("accuracy"), Index(4)]
    public required double Accuracy { get; init; }

    [Name("macs"), Index(5)]
    public required double Macs { get; init; }

    [Name("batches"), Index(6)]
    public required int Batches { get; init; }

    [Name("median_ms"), Index(7)]
    public required double MedianMs { get; init; }

    [Name("p95_ms"), Index(8)]
    public required double P95Ms { get; init; }

    [Name("mean_ms"), Index(9)]
    public required double MeanMs { get; init; }

    [Name("images_per_second"), Index(10)]
    public required double ImagesPerSecond { get; init; }
}

/// <summary>A row of what <c>imta infer</c> writes: one image.</summary>
public sealed record AnswerRow
{
    [Name("sample"), Index(0)]
    public required long Sample { get; init; }

    [Name("class"), Index(1)]
    public required long Class { get; init; }

    [Name("name"), Index(2)]
    public required string Name { get; init; }

    [Name("confidence"), Index(3)]
    public required float Confidence { get; init; }

    [Name("exit"), Index(4)]
    public required int Exit { get; init; }

    [Name("macs"), Index(5)]
    public required long Macs { get; init; }

    [Name("file"), Index(6)]
    public string? File { get; init; }
}

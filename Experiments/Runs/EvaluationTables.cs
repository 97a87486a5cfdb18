using System.ComponentModel;
using CsvHelper;

namespace Imta.MetaWeight.Experiments.Runs;

/// <summary>The tables of a network's evaluation, in one folder.</summary>
/// <param name="folder">The run folder or any other.</param>
internal sealed class EvaluationFiles(string folder)
{
    public string Anytime => In("anytime.csv");

    public string Dynamic => In("dynamic.csv");

    public string Exits => In("exits.csv");

    public string Classes => In("classes.csv");

    public string Correlation => In("correlation.csv");

    public string Predictions => In("predictions.csv");

    /// <summary>Written with <c>export.logits</c>.</summary>
    public string Logits => In("logits.safetensors");

    /// <summary>Not reproducible; written only on request.</summary>
    public string Latency => In("latency.csv");

    /// <summary>The default path of a calibrated exit policy.</summary>
    public string Policy => In("policy.json");

    public IEnumerable<string> All => [Anytime, Dynamic, Exits, Classes, Correlation, Predictions, Logits, Latency, Policy];

    private string In(string name) => Path.Combine(folder, name);
}

/// <summary>A row of <c>anytime.csv</c>: one exit on the test set.</summary>
[CsvRecord]
internal sealed partial record AnytimeRow
{
    [CsvColumn("exit"), Description("from 1")] public required int Exit { get; init; }
    [CsvColumn("top1"), Fraction, Description("share of test images that the exit classifies correctly")]
    public required double Top1 { get; init; }
    [CsvColumn("top5"), Fraction, Description("share of test images whose class is among its five most probable")]
    public required double Top5 { get; init; }
    [CsvColumn("loss"), Description("mean plain cross-entropy")] public required double Loss { get; init; }
    [CsvColumn("samples"), Description("test images")] public required int Samples { get; init; }
    [CsvColumn("macs"), Description("as in `cost.csv`")] public required long Macs { get; init; }
    [CsvColumn("parameters"), Description("as in `cost.csv`")] public required long Parameters { get; init; }
}

/// <summary>A row of <c>dynamic.csv</c>: one exit under one budget.</summary>
[CsvRecord]
internal sealed partial record DynamicRow
{
    private const string Leaving = "share of the images that leaves here", Overall = "of all images, each where it leaves";
    private const string Cost = "mean MACs per image";

    [CsvColumn("p"), Description("the budget")] public required int P { get; init; }
    [CsvColumn("q"), Description("p/20")] public required double Q { get; init; }
    [CsvColumn("exit"), Description("from 1")] public required int Exit { get; init; }
    [CsvColumn("threshold"), Description("images with at least this confidence leave; empty: none leaves; 0 at the last exit")]
    public required float? Threshold { get; init; }
    [CsvColumn("validation_share"), Fraction, Description(Leaving)] public required double ValidationShare { get; init; }
    [CsvColumn("test_share"), Fraction, Description(Leaving)] public required double TestShare { get; init; }
    [CsvColumn("test_accuracy_leaving"), Fraction, Description("on the test images that leave here; empty if none does")]
    public required double? TestAccuracyLeaving { get; init; }
    [CsvColumn("validation_accuracy"), Fraction, Description(Overall)] public required double ValidationAccuracy { get; init; }
    [CsvColumn("test_accuracy"), Fraction, Description(Overall)] public required double TestAccuracy { get; init; }
    [CsvColumn("validation_macs"), Description(Cost)] public required double ValidationMacs { get; init; }
    [CsvColumn("test_macs"), Description(Cost)] public required double TestMacs { get; init; }
}

/// <summary>A row of <c>exits.csv</c>: one exit on the test images of some classes.</summary>
[CsvRecord]
internal sealed partial record ExitRow
{
    private const string ByDoubt = "like `auroc`, `aupr`, `fpr95`, but for identifying premature images among all by a low policy score";

    [
        CsvColumn("classes"),
        Description("`all`; also thirds, if the largest class has at least twice the training images of the smallest: "
            + "`head`, `medium`, `tail`")
    ]
    public required string Classes { get; init; }
    [CsvColumn("exit"), Description("from 1")] public required int Exit { get; init; }
    [CsvColumn("samples"), Description("test images of these classes")] public required int Samples { get; init; }
    [CsvColumn("share"), Fraction, Description("share of them that leaves here")] public required double Share { get; init; }
    [CsvColumn("accuracy_leaving"), Fraction, Description("on those that leave here; empty if none does")]
    public required double? AccuracyLeaving { get; init; }
    [CsvColumn("accuracy"), Fraction, Description("on all of them")] public required double Accuracy { get; init; }
    [CsvColumn("confidence"), Description("mean largest softmax probability")] public required double Confidence { get; init; }
    [CsvColumn("ece"), Description("expected calibration error, 15 bins of equal width")] public required double Ece { get; init; }
    [CsvColumn("auroc"), Fraction, Description("probability that a correct prediction is more confident than a wrong one, ties ½")]
    public required double? Auroc { get; init; }
    [
        CsvColumn("aupr", Optional = true), Fraction,
        Description("average precision of correct predictions by confidence")
    ]
    public double? Aupr { get; init; }
    [
        CsvColumn("fpr95", Optional = true), Fraction,
        Description("share of wrong predictions at least as confident as the threshold that 95 % of the correct ones reach")
    ]
    public double? Fpr95 { get; init; }
    [CsvColumn("premature", Optional = true), Fraction, Description("share wrong here and correct at the last exit")]
    public double? Premature { get; init; }
    [CsvColumn("premature_auroc", Optional = true), Fraction, Description(ByDoubt)] public double? PrematureAuroc { get; init; }
    [CsvColumn("premature_aupr", Optional = true), Fraction, Description(ByDoubt)] public double? PrematureAupr { get; init; }
    [CsvColumn("premature_fpr95", Optional = true), Fraction, Description(ByDoubt)] public double? PrematureFpr95 { get; init; }
    [CsvColumn("overthinking"), Fraction, Description("share correct here and wrong at the last exit")]
    public required double Overthinking { get; init; }
    [CsvColumn("oracle"), Fraction]
    [Description("share correct at this exit or an earlier one: the best possible accuracy if every image leaves by this exit")]
    public required double Oracle { get; init; }
}

/// <summary>A row of <c>classes.csv</c>: one exit on the test images of one class.</summary>
[CsvRecord]
internal sealed partial record ClassRow
{
    [CsvColumn("class"), Description("from 0")] public required long Class { get; init; }
    [CsvColumn("name"), Description("of the class")] public required string Name { get; init; }
    [CsvColumn("group"), Description("`head`, `medium` or `tail`, if `exits.csv` has these")] public required string? Group { get; init; }
    [CsvColumn("train_images"), Description("training images of the class")] public required long TrainImages { get; init; }
    [CsvColumn("exit"), Description("from 1")] public required int Exit { get; init; }
    [CsvColumn("samples"), Description("as in `exits.csv`")] public required int Samples { get; init; }
    [CsvColumn("share"), Fraction, Description("as in `exits.csv`")] public required double Share { get; init; }
    [CsvColumn("accuracy_leaving"), Fraction, Description("as in `exits.csv`")] public required double? AccuracyLeaving { get; init; }
    [CsvColumn("accuracy"), Fraction, Description("as in `exits.csv`")] public required double Accuracy { get; init; }
}

/// <summary>A row of <c>correlation.csv</c>: two exits.</summary>
[CsvRecord]
internal sealed partial record CorrelationRow
{
    private const string Pair = "two exits, the earlier first";

    [CsvColumn("exit_a"), Description(Pair)] public required int ExitA { get; init; }
    [CsvColumn("exit_b"), Description(Pair)] public required int ExitB { get; init; }
    [CsvColumn("spearman"), Description("rank correlation of their confidences (IMTA, Figure 7); empty if one's are all equal")]
    public required double? Spearman { get; init; }
}

/// <summary>A row of <c>predictions.csv</c>: one image at one exit.</summary>
[CsvRecord]
internal sealed partial record PredictionRow
{
    [CsvColumn("split"), Description("`validation` or `test`")] public required string Split { get; init; }
    [CsvColumn("sample"), Description("position in the whole training or test set, in file order")]
    public required long Sample { get; init; }
    [CsvColumn("label"), Description("its class")] public required long Label { get; init; }
    [CsvColumn("exit"), Description("from 1")] public required int Exit { get; init; }
    [CsvColumn("prediction"), Description("the class that the exit predicts")] public required long Prediction { get; init; }
    [CsvColumn("confidence"), Description("its softmax probability")] public required float Confidence { get; init; }
}

/// <summary>A row of <c>latency.csv</c>: predictions at one exit, or under one budget, with one batch size.</summary>
[CsvRecord]
internal sealed partial record LatencyRow
{
    private const string Time = "time per batch, ms: median, 95th percentile, mean";
    private const string OnTest = "on the test set, as in `anytime.csv` and `dynamic.csv`";

    [CsvColumn("kind"), Description("`anytime`: one exit classifies all images; `dynamic`: each leaves by a budget's thresholds")]
    public required string Kind { get; init; }
    [CsvColumn("batch"), Description("batch size: 1, or `--batch` (at most all test images)")] public required int Batch { get; init; }
    [CsvColumn("exit"), Description("of `anytime`")] public required int? Exit { get; init; }
    [CsvColumn("p"), Description("the budget of `dynamic`")] public required int? P { get; init; }
    [CsvColumn("accuracy"), Fraction, Description(OnTest)] public required double Accuracy { get; init; }
    [CsvColumn("macs"), Description(OnTest)] public required double Macs { get; init; }
    [CsvColumn("batches"), Description("measurements")] public required int Batches { get; init; }
    [CsvColumn("median_ms"), Description(Time)] public required double MedianMs { get; init; }
    [CsvColumn("p95_ms"), Description(Time)] public required double P95Ms { get; init; }
    [CsvColumn("mean_ms"), Description(Time)] public required double MeanMs { get; init; }
    [CsvColumn("images_per_second"), Description("by the mean")] public required double ImagesPerSecond { get; init; }
}

/// <summary>A row of the output of <c>imta infer</c>: one image.</summary>
[CsvRecord]
internal sealed partial record InferenceRow
{
    [CsvColumn("sample"), Description("position in the file, or in the whole test set")] public required long Sample { get; init; }
    [CsvColumn("class"), Description("the predicted class")] public required long Class { get; init; }
    [CsvColumn("name"), Description("of this class")] public required string Name { get; init; }
    [CsvColumn("confidence"), Description("its softmax probability")] public required float Confidence { get; init; }
    [CsvColumn("exit"), Description("where the image left")] public required int Exit { get; init; }
    [CsvColumn("macs"), Description("up to there")] public required long Macs { get; init; }
    [CsvColumn("file"), Description("an image file's path below `--images` or `val`; unreadable ones have no row")]
    public string? File { get; init; }
}

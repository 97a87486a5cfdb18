using System.ComponentModel;
using CsvHelper;

namespace Imta.MetaWeight.Experiments.Runs;

/// <summary>A row of <c>runs.csv</c>: one run of a sweep.</summary>
[CsvRecord]
internal sealed partial record SweepRunRow
{
    [CsvColumn("variant"), Description("name in the sweep")] public required string Variant { get; init; }
    [CsvColumn("seed"), Description("the run's")] public required int Seed { get; init; }
    [CsvColumn("folder"), Description("its folder within the sweep's")] public required string Folder { get; init; }
    [CsvColumn("state"), Description("`done`, `failed` or `waiting`")] public required string State { get; init; }
    [CsvColumn("message"), Description("last line of a failed run's error output")] public required string? Message { get; init; }
}

/// <summary>A row of <c>summary.csv</c>: one metric of a variant over its seeds.</summary>
[CsvRecord]
internal sealed partial record SummaryRow
{
    private const string Quantity = "the quantity", Interval = "95 % confidence interval of the mean, by Student's t";

    [CsvColumn("variant"), Description("name in the sweep")] public required string Variant { get; init; }
    [CsvColumn("metric"), Description(Quantity)] public required string Metric { get; init; }
    [CsvColumn("exit"), Description(Quantity)] public required int? Exit { get; init; }
    [CsvColumn("classes"), Description(Quantity)] public required string? Classes { get; init; }
    [CsvColumn("p"), Description(Quantity)] public required int? P { get; init; }
    [CsvColumn("n"), Description("runs")] public required int N { get; init; }
    [CsvColumn("mean"), Description("over them")] public required double Mean { get; init; }
    [CsvColumn("std"), Description("standard deviation (n - 1); empty for one run, like the next two")]
    public required double? Std { get; init; }
    [CsvColumn("low"), Description(Interval)] public required double? Low { get; init; }
    [CsvColumn("high"), Description(Interval)] public required double? High { get; init; }
}

/// <summary>A row of <c>comparison.csv</c>: one metric of a variant compared with the baseline.</summary>
[CsvRecord]
internal sealed partial record ComparisonRow
{
    private const string Quantity = "as in `summary.csv`", Runs = "runs of the variant, and of the baseline";
    private const string Interval = "its 95 % confidence interval, by Welch's t";
    private const string Welch
        = "Welch's t-test: statistic, degrees of freedom, two-sided p, uncorrected; empty for one run or no variation";
    private const string Paired
        = "t-test of the per-seed differences: statistic, two-sided p; empty for fewer than two or if all are equal";
    private const string PairedInterval = "95 % confidence interval of their mean";

    [CsvColumn("variant"), Description("name in the sweep")] public required string Variant { get; init; }
    [CsvColumn("baseline"), Description("what it is compared with")] public required string Baseline { get; init; }
    [CsvColumn("metric"), Description(Quantity)] public required string Metric { get; init; }
    [CsvColumn("exit"), Description(Quantity)] public required int? Exit { get; init; }
    [CsvColumn("classes"), Description(Quantity)] public required string? Classes { get; init; }
    [CsvColumn("p"), Description(Quantity)] public required int? P { get; init; }
    [CsvColumn("n"), Description(Runs)] public required int N { get; init; }
    [CsvColumn("baseline_n"), Description(Runs)] public required int BaselineN { get; init; }
    [CsvColumn("difference"), Description("of the means, variant minus baseline")] public required double Difference { get; init; }
    [CsvColumn("low"), Description(Interval)] public required double? Low { get; init; }
    [CsvColumn("high"), Description(Interval)] public required double? High { get; init; }
    [CsvColumn("welch_t"), Description(Welch)] public required double? WelchT { get; init; }
    [CsvColumn("welch_df"), Description(Welch)] public required double? WelchDf { get; init; }
    [CsvColumn("welch_p"), Description(Welch)] public required double? WelchP { get; init; }
    [CsvColumn("paired_n"), Description("seeds that both have")] public required int PairedN { get; init; }
    [CsvColumn("paired_t"), Description(Paired)] public required double? PairedT { get; init; }
    [CsvColumn("paired_p"), Description(Paired)] public required double? PairedP { get; init; }
    [CsvColumn("paired_low", Optional = true), Description(PairedInterval)] public double? PairedLow { get; init; }
    [CsvColumn("paired_high", Optional = true), Description(PairedInterval)] public double? PairedHigh { get; init; }
    [CsvColumn("paired_holm", Optional = true)]
    [Description("`paired_p` adjusted by Holm's method over all variants")]
    public double? PairedHolm { get; init; }
}

using System.ComponentModel;
using CsvHelper;

namespace Imta.MetaWeight.Experiments.Runs;

/// <summary>A row of <c>runs.csv</c>: one run of a sweep.</summary>
[CsvRecord]
internal sealed partial record SweepRunRow
{
    [CsvColumn("variant"), Description("name in the sweep")]
    public required string Variant { get; init; }
    [CsvColumn("seed"), Description("the run's")]
    public required int Seed { get; init; }
    [CsvColumn("folder"), Description("its folder within the sweep's")]
    public required string Folder { get; init; }
    [CsvColumn("state"), Description("`done`, `failed` or `waiting`")]
    public required string State { get; init; }
    [CsvColumn("message"), Description("last line of a failed run's error output")]
    public required string? Message { get; init; }
}

/// <summary>A row of <c>summary.csv</c>: one quantity of a variant over its seeds.</summary>
[CsvRecord]
internal sealed partial record SummaryRow
{
    [CsvColumn("variant"), Description("name in the sweep")]
    public required string Variant { get; init; }
    [CsvColumn("metric"), Description("the quantity")]
    public required string Metric { get; init; }
    [CsvColumn("exit"), Description("its exit")]
    public required int? Exit { get; init; }
    [CsvColumn("classes"), Description("its group of classes")]
    public required string? Classes { get; init; }
    [CsvColumn("p"), Description("its budget")]
    public required int? P { get; init; }
    [CsvColumn("n"), Description("runs")]
    public required int N { get; init; }
    [CsvColumn("mean"), Description("over them")]
    public required double Mean { get; init; }
    [CsvColumn("std"), Description("standard deviation (n - 1); empty for one run, as the next two")]
    public required double? Std { get; init; }
    [CsvColumn("low"), Description("lower end of the mean's 95 % confidence interval, by Student's t")]
    public required double? Low { get; init; }
    [CsvColumn("high"), Description("upper end")]
    public required double? High { get; init; }
}

/// <summary>A row of <c>comparison.csv</c>: one quantity of a variant against the baseline's.</summary>
[CsvRecord]
internal sealed partial record ComparisonRow
{
    [CsvColumn("variant"), Description("name in the sweep")]
    public required string Variant { get; init; }
    [CsvColumn("baseline"), Description("what it is compared with")]
    public required string Baseline { get; init; }
    [CsvColumn("metric"), Description("the quantity")]
    public required string Metric { get; init; }
    [CsvColumn("exit"), Description("its exit")]
    public required int? Exit { get; init; }
    [CsvColumn("classes"), Description("its group of classes")]
    public required string? Classes { get; init; }
    [CsvColumn("p"), Description("its budget")]
    public required int? P { get; init; }
    [CsvColumn("n"), Description("runs of the variant")]
    public required int N { get; init; }
    [CsvColumn("baseline_n"), Description("runs of the baseline")]
    public required int BaselineN { get; init; }
    [CsvColumn("difference"), Description("of the means, variant minus baseline")]
    public required double Difference { get; init; }
    [CsvColumn("low"), Description("lower end of its 95 % confidence interval, by Welch's t")]
    public required double? Low { get; init; }
    [CsvColumn("high"), Description("upper end")]
    public required double? High { get; init; }
    [CsvColumn("welch_t"), Description("statistic of Welch's t-test; empty if a side has one run or nothing varies")]
    public required double? WelchT { get; init; }
    [CsvColumn("welch_df"), Description("its degrees of freedom")]
    public required double? WelchDf { get; init; }
    [CsvColumn("welch_p"), Description("its two-sided p, uncorrected")]
    public required double? WelchP { get; init; }
    [CsvColumn("paired_n"), Description("seeds that both have")]
    public required int PairedN { get; init; }
    [CsvColumn("paired_t"), Description("statistic of the t-test on differences per seed; empty if undefined")]
    public required double? PairedT { get; init; }
    [CsvColumn("paired_p"), Description("its two-sided p")]
    public required double? PairedP { get; init; }
}

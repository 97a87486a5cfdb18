using CsvHelper;

namespace Imta.MetaWeight.Experiments.Runs;

#pragma warning disable CS1591 // The columns are documented in docs/files.md, the rows here.

/// <summary>A row of <c>runs.csv</c>: one run of a sweep.</summary>
[CsvRecord]
public sealed partial record SweepRunRow
{
    [CsvColumn("variant")]
    public required string Variant { get; init; }

    [CsvColumn("seed")]
    public required int Seed { get; init; }

    [CsvColumn("folder")]
    public required string Folder { get; init; }

    [CsvColumn("state")]
    public required string State { get; init; }

    [CsvColumn("message")]
    public required string? Message { get; init; }
}

/// <summary>A row of <c>summary.csv</c>: one quantity of a variant over its seeds.</summary>
[CsvRecord]
public sealed partial record SummaryRow
{
    [CsvColumn("variant")]
    public required string Variant { get; init; }

    [CsvColumn("metric")]
    public required string Metric { get; init; }

    [CsvColumn("exit")]
    public required int? Exit { get; init; }

    [CsvColumn("classes")]
    public required string? Classes { get; init; }

    [CsvColumn("p")]
    public required int? P { get; init; }

    [CsvColumn("n")]
    public required int N { get; init; }

    [CsvColumn("mean")]
    public required double Mean { get; init; }

    [CsvColumn("std")]
    public required double? Std { get; init; }

    [CsvColumn("low")]
    public required double? Low { get; init; }

    [CsvColumn("high")]
    public required double? High { get; init; }
}

/// <summary>A row of <c>comparison.csv</c>: one quantity of a variant against the baseline's.</summary>
[CsvRecord]
public sealed partial record ComparisonRow
{
    [CsvColumn("variant")]
    public required string Variant { get; init; }

    [CsvColumn("baseline")]
    public required string Baseline { get; init; }

    [CsvColumn("metric")]
    public required string Metric { get; init; }

    [CsvColumn("exit")]
    public required int? Exit { get; init; }

    [CsvColumn("classes")]
    public required string? Classes { get; init; }

    [CsvColumn("p")]
    public required int? P { get; init; }

    [CsvColumn("n")]
    public required int N { get; init; }

    [CsvColumn("baseline_n")]
    public required int BaselineN { get; init; }

    [CsvColumn("difference")]
    public required double Difference { get; init; }

    [CsvColumn("low")]
    public required double? Low { get; init; }

    [CsvColumn("high")]
    public required double? High { get; init; }

    [CsvColumn("welch_t")]
    public required double? WelchT { get; init; }

    [CsvColumn("welch_df")]
    public required double? WelchDf { get; init; }

    [CsvColumn("welch_p")]
    public required double? WelchP { get; init; }

    [CsvColumn("paired_n")]
    public required int PairedN { get; init; }

    [CsvColumn("paired_t")]
    public required double? PairedT { get; init; }

    [CsvColumn("paired_p")]
    public required double? PairedP { get; init; }
}

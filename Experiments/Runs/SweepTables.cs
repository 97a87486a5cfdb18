using CsvHelper.Configuration.Attributes;

namespace Imta.MetaWeight.Experiments.Runs;

#pragma warning disable CS1591 // The columns are documented in docs/files.md, the rows here.

/// <summary>A row of <c>runs.csv</c>: one run of a sweep.</summary>
public sealed record SweepRunRow
{
    [Name("variant"), Index(0)]
    public required string Variant { get; init; }

    [Name("seed"), Index(1)]
    public required int Seed { get; init; }

    [Name("folder"), Index(2)]
    public required string Folder { get; init; }

    [Name("state"), Index(3)]
    public required string State { get; init; }

    [Name("message"), Index(4)]
    public required string? Message { get; init; }
}

/// <summary>A row of <c>summary.csv</c>: one quantity of a variant over its seeds.</summary>
public sealed record SummaryRow
{
    [Name("variant"), Index(0)]
    public required string Variant { get; init; }

    [Name("metric"), Index(1)]
    public required string Metric { get; init; }

    [Name("exit"), Index(2)]
    public required int? Exit { get; init; }

    [Name("classes"), Index(3)]
    public required string? Classes { get; init; }

    [Name("p"), Index(4)]
    public required int? P { get; init; }

    [Name("n"), Index(5)]
    public required int N { get; init; }

    [Name("mean"), Index(6)]
    public required double Mean { get; init; }

    [Name("std"), Index(7)]
    public required double? Std { get; init; }

    [Name("low"), Index(8)]
    public required double? Low { get; init; }

    [Name("high"), Index(9)]
    public required double? High { get; init; }
}

/// <summary>A row of <c>comparison.csv</c>: one quantity of a variant against the baseline's.</summary>
public sealed record ComparisonRow
{
    [Name("variant"), Index(0)]
    public required string Variant { get; init; }

    [Name("baseline"), Index(1)]
    public required string Baseline { get; init; }

    [Name("metric"), Index(2)]
    public required string Metric { get; init; }

    [Name("exit"), Index(3)]
    public required int? Exit { get; init; }

    [Name("classes"), Index(4)]
    public required string? Classes { get; init; }

    [Name("p"), Index(5)]
    public required int? P { get; init; }

    [Name("n"), Index(6)]
    public required int N { get; init; }

    [Name("baseline_n"), Index(7)]
    public required int BaselineN { get; init; }

    [Name("difference"), Index(8)]
    public required double Difference { get; init; }

    [Name("low"), Index(9)]
    public required double? Low { get; init; }

    [Name("high"), Index(10)]
    public required double? High { get; init; }

    [Name("welch_t"), Index(11)]
    public required double? WelchT { get; init; }

    [Name("welch_df"), Index(12)]
    public required double? WelchDf { get; init; }

    [Name("welch_p"), Index(13)]
    public required double? WelchP { get; init; }

    [Name("paired_n"), Index(14)]
    public required int PairedN { get; init; }

    [Name("paired_t"), Index(15)]
    public required double? PairedT { get; init; }

    [Name("paired_p"), Index(16)]
    public required double? PairedP { get; init; }
}

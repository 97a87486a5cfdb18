using CsvHelper.Configuration.Attributes;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>What a report takes of a row of <c>weights/epoch-NNNN.csv</c>.</summary>
internal sealed record SavedWeight
{
    [Name("difficulty")]
    public required float? Difficulty { get; init; }

    [Name("exit")]
    public required int Exit { get; init; }

    [Name("loss")]
    public required float Loss { get; init; }

    /// <summary>Null in runs of earlier versions.</summary>
    [Name("confidence"), Optional]
    public float? Confidence { get; init; }

    [Name("weight")]
    public required float Weight { get; init; }
}

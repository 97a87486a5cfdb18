using CsvHelper;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>The columns a report uses of a row of <c>weights/epoch-NNNN.csv</c>.</summary>
[CsvRecord]
internal sealed partial record SavedWeight
{
    [CsvColumn("difficulty")]
    public required float? Difficulty { get; init; }

    [CsvColumn("exit")]
    public required int Exit { get; init; }

    [CsvColumn("loss")]
    public required float Loss { get; init; }

    /// <summary>Null for runs of earlier versions.</summary>
    [CsvColumn("confidence", Optional = true)]
    public float? Confidence { get; init; }

    [CsvColumn("weight")]
    public required float Weight { get; init; }
}

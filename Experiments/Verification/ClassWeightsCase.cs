using CsvHelper;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Losses;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary><c>class_balanced_weights*.csv</c>: weights by the effective number of samples (Cui et al., CVPR 2019).</summary>
internal static partial class ClassWeightsCase
{
    public static IEnumerable<VerifiedQuantity> Run(string path)
    {
        IReadOnlyList<Row> rows = CsvTable.Read<Row>(path);
        if (rows.Count == 0)
        {
            return [];
        }

        double error = rows
            .GroupBy(row => (row.Classes, row.Factor, row.Beta))
            .Select(list => list.OrderBy(row => row.Class).ToArray())
            .Select(list => GoldenFile.RelativeError(
                ClassWeights.Compute(
                    new ClassWeightOptions { Type = ClassWeighting.EffectiveNumber, Beta = list[0].Beta },
                    [.. list.Select(row => row.Count)]),
                [.. list.Select(row => row.Weight)]))
            .Aggregate(0.0, Math.Max);
        return [VerifiedQuantity.Compared(Path.GetFileName(path), "weight", error, GoldenComparison.Tolerance)];
    }

    [CsvRecord]
    internal sealed partial record Row
    {
        [CsvColumn("classes")]
        public required int Classes { get; init; }

        [CsvColumn("factor")]
        public required double Factor { get; init; }

        [CsvColumn("beta")]
        public required double Beta { get; init; }

        [CsvColumn("class")]
        public required int Class { get; init; }

        [CsvColumn("count")]
        public required long Count { get; init; }

        [CsvColumn("weight")]
        public required double Weight { get; init; }
    }
}

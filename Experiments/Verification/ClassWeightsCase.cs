using System.Globalization;
using CsvHelper;
using Imta.MetaWeight.Losses;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary><c>class_balanced_weights*.csv</c>: weights by the effective number of images (Cui et al., CVPR 2019).</summary>
internal static class ClassWeightsCase
{
    public static IEnumerable<VerifiedQuantity> Run(string path)
    {
        using var csv = new CsvReader(new StreamReader(path), CultureInfo.InvariantCulture);
        var rows = csv.GetRecords(new { classes = 0, factor = 0.0, beta = 0.0, @class = 0, count = 0L, weight = 0.0 }).ToArray();
        if (rows.Length == 0)
        {
            return [];
        }

        double error = rows
            .GroupBy(row => (row.classes, row.factor, row.beta))
            .Select(list => list.OrderBy(row => row.@class).ToArray())
            .Select(list => GoldenFile.RelativeError(
                ClassWeights.Of(new ClassWeightOptions { Type = ClassWeighting.EffectiveNumber, Beta = list[0].beta }, [.. list.Select(row => row.count)]),
                [.. list.Select(row => row.weight)]))
            .Aggregate(0.0, Math.Max);
        return [VerifiedQuantity.Compared(Path.GetFileName(path), "weight", error, GoldenComparison.Tolerance)];
    }
}

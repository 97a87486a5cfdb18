using System.Globalization;
using CsvHelper;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary><c>longtail_counts*.csv</c>: training images of each class of long-tailed CIFAR, nothing held out (Cui et al., CVPR 2019).</summary>
internal static class LongTailCase
{
    public static IEnumerable<VerifiedQuantity> Run(string path)
    {
        using var csv = new CsvReader(new StreamReader(path), CultureInfo.InvariantCulture);
        var rows = csv.GetRecords(new { classes = 0, factor = 0.0, @class = 0L, count = 0L }).ToArray();
        return rows.GroupBy(row => (row.classes, row.factor)).Select(list =>
        {
            (int classes, double factor) = list.Key;
            long[] expected = [.. list.OrderBy(row => row.@class).Select(row => row.count)];
            long[] counts = ImbalancedClasses.Counts(
                new ImbalanceOptions { Type = ImbalanceProfile.Exponential, Factor = factor }, Splits.WholeTrainingSet(DatasetKind.Cifar10) / classes, ImbalancedClasses.Order(ClassOrder.Index, classes, seed: 0));
            double worst = counts.Length == expected.Length ? counts.Zip(expected, (count, golden) => (double)Math.Abs(count - golden)).Max() : double.PositiveInfinity;
            return VerifiedQuantity.Compared(Path.GetFileName(path), FormattableString.Invariant($"counts, {classes} classes, factor {factor}"), worst, tolerance: 0);
        });
    }
}

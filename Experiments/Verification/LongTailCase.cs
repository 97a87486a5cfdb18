using CsvHelper;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary>
/// <c>longtail_counts*.csv</c>: training images per class of long-tailed CIFAR, without hold-out (Cui et al., CVPR 2019).
/// </summary>
internal static partial class LongTailCase
{
    public static IEnumerable<VerifiedQuantity> Run(string path)
    {
        return CsvTable.Read<Row>(path).GroupBy(row => (row.Classes, row.Factor)).Select(list =>
        {
            (int classes, double factor) = list.Key;
            long[] expected = [.. list.OrderBy(row => row.Class).Select(row => row.Count)];
            long[] counts = ImbalancedClasses.Counts(
                new ImbalanceOptions { Type = ImbalanceProfile.Exponential, Factor = factor },
                Splits.FullTrainingSetSize(DatasetKind.Cifar10) / classes,
                ImbalancedClasses.Order(ClassOrder.Index, classes, seed: 0));
            double worst = counts.Length == expected.Length
                ? counts.Zip(expected, (count, golden) => (double)Math.Abs(count - golden)).Max()
                : double.PositiveInfinity;
            return VerifiedQuantity.Compared(
                Path.GetFileName(path), FormattableString.Invariant($"counts, {classes} classes, factor {factor}"), worst, tolerance: 0);
        });
    }

    [CsvRecord]
    internal sealed partial record Row
    {
        [CsvColumn("classes")]
        public required int Classes { get; init; }

        [CsvColumn("factor")]
        public required double Factor { get; init; }

        [CsvColumn("class")]
        public required long Class { get; init; }

        [CsvColumn("count")]
        public required long Count { get; init; }
    }
}

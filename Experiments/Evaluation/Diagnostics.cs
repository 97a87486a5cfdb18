using System.Globalization;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Experiments.Runs;
using MathNet.Numerics.Statistics;

namespace Imta.MetaWeight.Experiments.Evaluation;

/// <summary>What stands behind an exit's accuracy: calibration, ranking, overthinking, the oracle.</summary>
/// <remarks>Shapes: <c>N</c> images, <c>K</c> exits.</remarks>
internal static class Diagnostics
{
    /// <summary>Bins of the calibration error, of equal width.</summary>
    public const int Bins = 15;

    /// <summary>The rows of <c>exits.csv</c>.</summary>
    /// <param name="answers">Of a test set.</param>
    /// <param name="policy">Decides who leaves where.</param>
    /// <param name="groups">Classes that are looked at apart.</param>
    public static IEnumerable<ExitRow> Exits(SetAnswers answers, ExitPolicy policy, IReadOnlyList<ClassGroup> groups)
    {
        using DisposeScope scope = NewDisposeScope();
        bool[] correct = answers.Correct.ToArray<bool>();
        float[] confidence = answers.Confidence.ToArray<float>();
        long[] exitOf = policy.Exits(answers.Scores).ToArray<long>();
        long[] labels = answers.Set.Labels.ToArray<long>();
        int exits = answers.Exits;
        foreach (ClassGroup group in groups)
        {
            int[] rows = [.. Enumerable.Range(0, labels.Length).Where(row => group.Classes.Contains(labels[row]))];
            for (int k = 0; k < exits && rows.Length > 0; k++)
            {
                int exit = k;
                bool Right(int row, int at) => correct[(row * exits) + at];
                int[] leaving = [.. rows.Where(row => exitOf[row] == exit)];
                bool[] right = [.. rows.Select(row => Right(row, exit))];
                float[] sure = [.. rows.Select(row => confidence[(row * exits) + exit])];
                yield return new ExitRow
                {
                    Classes = group.Name,
                    Exit = k + 1,
                    Samples = rows.Length,
                    Share = (double)leaving.Length / rows.Length,
                    AccuracyLeaving = leaving.Length == 0 ? null : leaving.Average(row => Right(row, exit) ? 1.0 : 0),
                    Accuracy = right.Average(is1 => is1 ? 1.0 : 0),
                    Confidence = sure.Average(value => (double)value),
                    Ece = CalibrationError(right, sure),
                    Auroc = Auroc(right, sure),
                    Overthinking = rows.Average(row => Right(row, exit) && !Right(row, exits - 1) ? 1.0 : 0),
                    Oracle = rows.Average(row => Enumerable.Range(0, exit + 1).Any(at => Right(row, at)) ? 1.0 : 0),
                };
            }
        }
    }

    /// <summary>The rows of <c>classes.csv</c>, by class and exit; a class without test images has none.</summary>
    /// <param name="answers">Of a test set.</param>
    /// <param name="policy">Decides who leaves where.</param>
    /// <param name="counts">Training images of each class.</param>
    public static IEnumerable<ClassRow> Classes(SetAnswers answers, ExitPolicy policy, IReadOnlyList<long> counts)
    {
        ClassGroup[] apart = [.. ClassGroup.Of(counts).Skip(1)];
        ClassGroup[] each = [.. Enumerable.Range(0, counts.Count).Select(label => new ClassGroup(label.ToString(CultureInfo.InvariantCulture), new HashSet<long> { label }))];
        return Exits(answers, policy, each).Select(row =>
        {
            long label = long.Parse(row.Classes, CultureInfo.InvariantCulture);
            return new ClassRow
            {
                Class = label,
                Name = answers.Set.ClassNames[(int)label],
                Group = apart.FirstOrDefault(group => group.Classes.Contains(label))?.Name,
                TrainImages = counts[(int)label],
                Exit = row.Exit,
                Samples = row.Samples,
                Share = row.Share,
                AccuracyLeaving = row.AccuracyLeaving,
                Accuracy = row.Accuracy,
            };
        });
    }

    /// <summary>Spearman's rank correlation of the confidences of two exits, for each pair (IMTA, Figure 7).</summary>
    public static IEnumerable<CorrelationRow> Correlations(SetAnswers answers)
    {
        double[][] confidence = [.. Enumerable.Range(0, answers.Exits).Select(k => Column(answers.Confidence, k))];
        return from a in Enumerable.Range(0, answers.Exits)
               from b in Enumerable.Range(a + 1, answers.Exits - a - 1)
               let correlation = Correlation.Spearman(confidence[a], confidence[b])
               select new CorrelationRow { ExitA = a + 1, ExitB = b + 1, Spearman = double.IsFinite(correlation) ? correlation : null };
    }

    /// <summary>Expected calibration error: over bins of confidence, the mean distance of accuracy and confidence, weighted by samples (Guo et al., 2017).</summary>
    public static double CalibrationError(IReadOnlyList<bool> right, IReadOnlyList<float> confidence) => Enumerable.Range(0, right.Count)
        .GroupBy(i => Math.Clamp((int)MathF.Ceiling(confidence[i] * Bins) - 1, 0, Bins - 1)) // a bin holds its upper end
        .Sum(bin => Math.Abs(bin.Sum(i => (right[i] ? 1.0 : 0) - confidence[i]))) / right.Count;

    /// <summary>The chance that a right answer is more confident than a wrong one, equal ones counting half; null where all are right, or all wrong.</summary>
    public static double? Auroc(IReadOnlyList<bool> right, IReadOnlyList<float> confidence)
    {
        double positives = right.Count(is1 => is1), negatives = right.Count - positives;
        if (positives == 0 || negatives == 0)
        {
            return null;
        }

        double[] ranks = ArrayStatistics.RanksInplace([.. confidence.Select(value => (double)value)], RankDefinition.Average);
        double sum = ranks.Where((_, i) => right[i]).Sum();
        return (sum - (positives * (positives + 1) / 2)) / (positives * negatives);
    }

    private static double[] Column(Tensor values, int k)
    {
        using DisposeScope scope = NewDisposeScope();
        return values.select(1, k).to_type(float64).contiguous().ToArray<double>();
    }
}

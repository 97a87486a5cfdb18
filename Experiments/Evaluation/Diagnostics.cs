using System.Globalization;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Experiments.Runs;
using MathNet.Numerics.Statistics;

namespace Imta.MetaWeight.Experiments.Evaluation;

/// <summary>Classes that are evaluated together: for a long-tailed training set, its head, medium and tail.</summary>
/// <param name="Name">Such as <c>head</c>.</param>
/// <param name="Classes">The labels that belong to the group.</param>
internal sealed record ClassGroup(string Name, IReadOnlySet<long> Classes)
{
    private const int Imbalanced = 2; // minimum ratio of largest to smallest class

    private static readonly string[] Thirds = ["head", "medium", "tail"];

    /// <summary>
    /// All classes and, for a long-tailed training set, its thirds: classes with the most images first, ties in label order.
    /// </summary>
    /// <param name="counts">Training images of each class.</param>
    public static IReadOnlyList<ClassGroup> FromCounts(IReadOnlyList<long> counts)
    {
        long[] order = [.. Enumerable.Range(0, counts.Count).OrderByDescending(label => counts[label]).Select(label => (long)label)];
        var all = new ClassGroup("all", order.ToHashSet());
        // A balanced set that was truncated may have one more image in some classes.
        if (counts.Count < Thirds.Length || counts.Max() < Imbalanced * counts.Min() || counts.Max() - counts.Min() <= 1)
        {
            return [all];
        }

        int Start(int third) => (third * counts.Count) + Thirds.Length - 1;
        long[] Third(int third) => order[(Start(third) / Thirds.Length)..(Start(third + 1) / Thirds.Length)];
        return [all, .. Thirds.Select((name, third) => new ClassGroup(name, Third(third).ToHashSet()))];
    }
}

/// <summary>What explains an exit's accuracy: calibration, ranking, overthinking, the oracle.</summary>
/// <remarks>Shapes: <c>N</c> images, <c>K</c> exits.</remarks>
internal static class Diagnostics
{
    /// <summary>The number of equal-width bins of the calibration error.</summary>
    public const int Bins = 15;

    /// <summary>The rows of <c>exits.csv</c>.</summary>
    /// <param name="predictions">Predictions for a test set.</param>
    /// <param name="policy">Decides which samples leave where.</param>
    /// <param name="groups">Classes that are evaluated together.</param>
    public static IEnumerable<ExitRow> Exits(Predictions predictions, IExitPolicy policy, IReadOnlyList<ClassGroup> groups)
    {
        using DisposeScope scope = NewDisposeScope();
        bool[] correct = predictions.Correct.ToArray<bool>();
        float[] confidence = predictions.Confidence.ToArray<float>(), scores = predictions.Scores.ToArray<float>();
        long[] exitOf = policy.ExitOf(predictions.Scores).ToArray<long>();
        long[] labels = predictions.Set.Labels.ToArray<long>();
        int exits = predictions.Exits;
        foreach (ClassGroup group in groups)
        {
            int[] rows = [.. Enumerable.Range(0, labels.Length).Where(row => group.Classes.Contains(labels[row]))];
            for (int k = 0; k < exits && rows.Length > 0; k++)
            {
                int exit = k;
                bool IsCorrect(int row, int at) => correct[(row * exits) + at];
                int[] leaving = [.. rows.Where(row => exitOf[row] == exit)];
                bool[] ofExit = [.. rows.Select(row => IsCorrect(row, exit))];
                bool[] isPremature = [.. rows.Select(row => !IsCorrect(row, exit) && IsCorrect(row, exits - 1))];
                float[] sure = [.. rows.Select(row => confidence[(row * exits) + exit])];
                double[] high = [.. sure.Select(value => (double)value)];
                double[] low = [.. rows.Select(row => -(double)scores[(row * exits) + exit])];
                yield return new ExitRow
                {
                    Classes = group.Name,
                    Exit = k + 1,
                    Samples = rows.Length,
                    Share = (double)leaving.Length / rows.Length,
                    AccuracyLeaving = leaving.Length == 0 ? null : leaving.Average(row => IsCorrect(row, exit) ? 1.0 : 0),
                    Accuracy = ofExit.Average(is1 => is1 ? 1.0 : 0),
                    Confidence = sure.Average(value => (double)value),
                    Ece = CalibrationError(ofExit, sure),
                    Auroc = FailurePrediction.Auroc(ofExit, high),
                    Aupr = FailurePrediction.Aupr(ofExit, high),
                    Fpr95 = FailurePrediction.Fpr95(ofExit, high),
                    Premature = isPremature.Average(is1 => is1 ? 1.0 : 0),
                    PrematureAuroc = FailurePrediction.Auroc(isPremature, low),
                    PrematureAupr = FailurePrediction.Aupr(isPremature, low),
                    PrematureFpr95 = FailurePrediction.Fpr95(isPremature, low),
                    Overthinking = rows.Average(row => IsCorrect(row, exit) && !IsCorrect(row, exits - 1) ? 1.0 : 0),
                    Oracle = rows.Average(row => Enumerable.Range(0, exit + 1).Any(at => IsCorrect(row, at)) ? 1.0 : 0),
                };
            }
        }
    }

    /// <summary>The rows of <c>classes.csv</c>, by class and exit; classes without test images are omitted.</summary>
    /// <param name="predictions">Predictions for a test set.</param>
    /// <param name="policy">Decides which samples leave where.</param>
    /// <param name="counts">Training images of each class.</param>
    public static IEnumerable<ClassRow> Classes(Predictions predictions, IExitPolicy policy, IReadOnlyList<long> counts)
    {
        ClassGroup[] apart = [.. ClassGroup.FromCounts(counts).Skip(1)];
        ClassGroup[] each = [.. Enumerable.Range(0, counts.Count)
            .Select(label => new ClassGroup(label.ToString(CultureInfo.InvariantCulture), new HashSet<long> { label }))];
        return Exits(predictions, policy, each).Select(row =>
        {
            long label = long.Parse(row.Classes, CultureInfo.InvariantCulture);
            return new ClassRow
            {
                Class = label,
                Name = predictions.Set.ClassNames[(int)label],
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

    /// <summary>Spearman's rank correlation between the confidences of each pair of exits (IMTA, Figure 7).</summary>
    public static IEnumerable<CorrelationRow> Correlations(Predictions predictions)
    {
        double[][] confidence = [.. Enumerable.Range(0, predictions.Exits).Select(k => Column(predictions.Confidence, k))];
        return from a in Enumerable.Range(0, predictions.Exits)
               from b in Enumerable.Range(a + 1, predictions.Exits - a - 1)
               let correlation = Correlation.Spearman(confidence[a], confidence[b])
               select new CorrelationRow { ExitA = a + 1, ExitB = b + 1, Spearman = double.IsFinite(correlation) ? correlation : null };
    }

    /// <summary>
    /// Expected calibration error (Guo et al., 2017): over bins of confidence, the mean distance between accuracy and confidence, weighted
    /// by samples.
    /// </summary>
    public static double CalibrationError(IReadOnlyList<bool> correct, IReadOnlyList<float> confidence) => Enumerable
        .Range(0, correct.Count)
        .GroupBy(i => BinOf(confidence[i]))
        .Sum(bin => Math.Abs(bin.Sum(i => (correct[i] ? 1.0 : 0) - confidence[i]))) / correct.Count;

    /// <summary>The bin of a confidence, from 0; bins include their upper edge.</summary>
    public static int BinOf(float confidence) => Math.Clamp((int)MathF.Ceiling(confidence * Bins) - 1, 0, Bins - 1);

    private static double[] Column(Tensor values, int k)
    {
        using DisposeScope scope = NewDisposeScope();
        return values.select(1, k).to_type(float64).contiguous().ToArray<double>();
    }
}

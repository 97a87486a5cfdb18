using Imta.MetaWeight.Experiments.Runs;
using MathNet.Numerics.Distributions;
using MathNet.Numerics.Statistics;

namespace Imta.MetaWeight.Experiments.Sweeps;

/// <summary>A metric with one value per run.</summary>
/// <param name="Metric">Its name.</param>
/// <param name="Exit">The exit, if any.</param>
/// <param name="Classes">The class group, if any.</param>
/// <param name="P">The budget, if any.</param>
internal sealed record MetricKey(string Metric, int? Exit = null, string? Classes = null, int? P = null);

/// <summary>Statistics over the seeds of a sweep's variants.</summary>
internal static class SweepSummary
{
    private const double Confidence = 0.95;

    /// <summary>The metrics of a run, from its tables.</summary>
    /// <param name="run">The folder of the completed run.</param>
    /// <exception cref="UsageException">They are damaged, or missing.</exception>
    public static Dictionary<MetricKey, double> ReadMetrics(string run)
    {
        var files = new EvaluationFiles(run);
        IReadOnlyList<AnytimeRow> anytime = CsvTable.Read<AnytimeRow>(files.Anytime);
        IReadOnlyList<ExitRow> exits = CsvTable.Read<ExitRow>(files.Exits);
        if (anytime.Count == 0 || exits.Count == 0)
        {
            throw new UsageException($"{run} has no {(anytime.Count == 0 ? files.Anytime : files.Exits)}; the run has not finished");
        }

        var values = anytime.ToDictionary(row => new MetricKey("top1", row.Exit), row => row.Top1);
        values[new MetricKey("top1_mean")] = anytime.Average(row => row.Top1);
        foreach (ExitRow row in exits.Where(row => row.Classes != "all"))
        {
            values[new MetricKey("class_accuracy", row.Exit, row.Classes)] = row.Accuracy;
        }

        DynamicRow[] budgets = [.. CsvTable.Read<DynamicRow>(files.Dynamic).Where(row => row.Exit == 1)];
        if (budgets.Length > 0 && anytime[^1].Macs > anytime[0].Macs)
        {
            values[new MetricKey("budget_area")] = BudgetArea(
                [.. anytime.Select(row => ((double)row.Macs, row.Top1))], [.. budgets.Select(row => (row.TestMacs, row.TestAccuracy))]);
        }

        foreach (DynamicRow row in budgets)
        {
            values[new MetricKey("dynamic_accuracy", P: row.P)] = row.TestAccuracy;
            values[new MetricKey("dynamic_macs", P: row.P)] = row.TestMacs;
        }

        return values;
    }

    /// <summary>
    /// The mean accuracy over all costs from the first exit's to the last's, equally weighted: the area under the straight lines from the
    /// first exit alone through the budgets' points to the last exit alone, divided by its width.
    /// </summary>
    /// <param name="exits">Multiply-adds and accuracy of each exit alone, K.</param>
    /// <param name="budgets">Mean multiply-adds and accuracy of each budget, in any order.</param>
    internal static double BudgetArea((double Macs, double Accuracy)[] exits, (double Macs, double Accuracy)[] budgets)
    {
        ((double Macs, double Accuracy) first, (double Macs, double Accuracy) last) = (exits[0], exits[^1]);
        (double Macs, double Accuracy)[] curve =
            [first, .. budgets.Where(point => point.Macs > first.Macs && point.Macs < last.Macs).OrderBy(point => point.Macs), last];
        return curve.Zip(curve.Skip(1), (left, right) => (right.Macs - left.Macs) * (left.Accuracy + right.Accuracy) / 2).Sum()
            / (last.Macs - first.Macs);
    }

    /// <summary>The rows of <c>summary.csv</c>.</summary>
    /// <param name="variants">Each variant with the values of its runs, by seed.</param>
    public static IEnumerable<SummaryRow> Summary(
        IEnumerable<(string Name, IReadOnlyDictionary<int, Dictionary<MetricKey, double>> Runs)> variants)
    {
        foreach ((string name, var runs) in variants)
        {
            foreach (MetricKey quantity in QuantitiesOf(runs))
            {
                double[] values = [.. BySeed(runs, quantity).Values];
                double? half = HalfWidth(values);
                double mean = values.Mean();
                yield return new SummaryRow
                {
                    Variant = name,
                    Metric = quantity.Metric,
                    Exit = quantity.Exit,
                    Classes = quantity.Classes,
                    P = quantity.P,
                    N = values.Length,
                    Mean = mean,
                    Std = values.Length > 1 ? values.StandardDeviation() : null,
                    Low = mean - half,
                    High = mean + half,
                };
            }
        }
    }

    /// <summary>The rows of <c>comparison.csv</c>: Welch's t-test, and the t-test paired by seed, also adjusted by Holm's method.</summary>
    /// <param name="variants">As for <see cref="Summary"/>.</param>
    /// <param name="baselines">The baseline of each variant; variants not listed are not compared.</param>
    public static IEnumerable<ComparisonRow> Comparison(
        IReadOnlyList<(string Name, IReadOnlyDictionary<int, Dictionary<MetricKey, double>> Runs)> variants, IReadOnlyDictionary<string,
        string> baselines)
    {
        ComparisonRow[] rows = [.. Comparisons(variants, baselines)];
        Dictionary<ComparisonRow, double> adjusted = new(ReferenceEqualityComparer.Instance);
        foreach (ComparisonRow[] family in rows.Where(row => row.PairedP is not null)
            .GroupBy(row => (row.Metric, row.Exit, row.Classes, row.P)).Select(rows => rows.ToArray()))
        {
            foreach ((ComparisonRow row, double p) in family.Zip(Holm([.. family.Select(row => row.PairedP!.Value)])))
            {
                adjusted[row] = p;
            }
        }

        return rows.Select(row => adjusted.TryGetValue(row, out double p) ? row with { PairedHolm = p } : row);
    }

    /// <summary>P-values adjusted for all tests of a family together, in the given order (Holm, Scand. J. Statist. 1979).</summary>
    internal static double[] Holm(double[] p)
    {
        int[] order = [.. Enumerable.Range(0, p.Length).OrderBy(i => p[i])];
        double[] adjusted = new double[p.Length];
        double most = 0;
        for (int k = 0; k < p.Length; k++)
        {
            adjusted[order[k]] = most = Math.Max(most, Math.Min(1, (p.Length - k) * p[order[k]]));
        }

        return adjusted;
    }

    private static IEnumerable<ComparisonRow> Comparisons(
        IReadOnlyList<(string Name, IReadOnlyDictionary<int, Dictionary<MetricKey, double>> Runs)> variants, IReadOnlyDictionary<string,
        string> baselines)
    {
        foreach ((string name, var runs) in variants.Where(variant => baselines.ContainsKey(variant.Name)))
        {
            string baseline = baselines[name];
            var reference = variants.Single(variant => variant.Name == baseline).Runs;
            foreach (MetricKey quantity in QuantitiesOf(runs))
            {
                SortedDictionary<int, double> own = BySeed(runs, quantity), other = BySeed(reference, quantity);
                if (other.Count > 0)
                {
                    yield return Row(name, baseline, quantity, own, other);
                }
            }
        }
    }

    private static ComparisonRow Row(
        string variant, string baseline, MetricKey quantity, SortedDictionary<int, double> own, SortedDictionary<int, double> other)
    {
        TTest? welch = Welch([.. own.Values], [.. other.Values]);
        double[] differences = [.. own.Where(run => other.ContainsKey(run.Key)).Select(run => run.Value - other[run.Key])];
        TTest? paired = Mean(differences);
        return new ComparisonRow
        {
            Variant = variant,
            Baseline = baseline,
            Metric = quantity.Metric,
            Exit = quantity.Exit,
            Classes = quantity.Classes,
            P = quantity.P,
            N = own.Count,
            BaselineN = other.Count,
            Difference = own.Values.Mean() - other.Values.Mean(),
            Low = welch?.Low,
            High = welch?.High,
            WelchT = welch?.T,
            WelchDf = welch?.DegreesOfFreedom,
            WelchP = welch?.P,
            PairedN = differences.Length,
            PairedT = paired?.T,
            PairedP = paired?.P,
            PairedLow = paired?.Low,
            PairedHigh = paired?.High,
        };
    }

    /// <summary>The half-width of the 95 % confidence interval of a mean, by Student's t; null for a single value.</summary>
    internal static double? HalfWidth(double[] values)
        => values.Length > 1 ? values.StandardDeviation() * Quantile(values.Length - 1) / Math.Sqrt(values.Length) : null;

    /// <summary>Welch's t-test for two means with unequal variances; degrees of freedom by Welch and Satterthwaite.</summary>
    internal static TTest? Welch(double[] one, double[] other)
    {
        if (one.Length < 2 || other.Length < 2)
        {
            return null;
        }

        double a = one.Variance() / one.Length, b = other.Variance() / other.Length;
        double freedom = Math.Pow(a + b, 2) / ((a * a / (one.Length - 1)) + (b * b / (other.Length - 1)));
        return TTest.Create(one.Mean() - other.Mean(), Math.Sqrt(a + b), freedom, [.. one, .. other]);
    }

    /// <summary>Tests whether a mean differs from 0.</summary>
    internal static TTest? Mean(double[] values)
        => values.Length < 2
            ? null
            : TTest.Create(values.Mean(), values.StandardDeviation() / Math.Sqrt(values.Length), values.Length - 1, values);

    private static IEnumerable<MetricKey> QuantitiesOf(IReadOnlyDictionary<int, Dictionary<MetricKey, double>> runs)
        => runs.OrderBy(run => run.Key).SelectMany(run => run.Value.Keys).Distinct();

    private static SortedDictionary<int, double> BySeed(IReadOnlyDictionary<int, Dictionary<MetricKey, double>> runs, MetricKey quantity)
        => new(runs.Where(run => run.Value.ContainsKey(quantity)).ToDictionary(run => run.Key, run => run.Value[quantity]));

    private static double Quantile(double freedom) => StudentT.InvCDF(0, 1, freedom, (1 + Confidence) / 2);

    /// <summary>A two-sided t-test.</summary>
    /// <param name="T">The statistic.</param>
    /// <param name="DegreesOfFreedom">Degrees of freedom.</param>
    /// <param name="P">The two-sided p-value.</param>
    /// <param name="Low">The lower end of the 95 % confidence interval of the difference.</param>
    /// <param name="High">Its upper end.</param>
    internal sealed record TTest(double T, double DegreesOfFreedom, double P, double Low, double High)
    {
        private const double Rounding = 1e-12; // relative error of values that are equal up to rounding

        /// <summary>Null if nothing varies.</summary>
        public static TTest? Create(double difference, double error, double freedom, double[] values)
        {
            if (!(error > Rounding * values.Max(Math.Abs)))
            {
                return null;
            }

            double t = difference / error, half = error * Quantile(freedom);
            return new TTest(t, freedom, 2 * StudentT.CDF(0, 1, freedom, -Math.Abs(t)), difference - half, difference + half);
        }
    }
}

using System.Globalization;
using Imta.MetaWeight.Allocation;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary>
/// <c>risk_control*.pt</c>: thresholds with a bounded risk (Jazbec et al., NeurIPS 2024). The public code's deviations are reproduced here
/// for comparison, except those of its segmentation code, <c>semseg_*</c>.
/// </summary>
internal static class RiskControlCase
{
    private const double Exact = 0;
    private const double Root = 1e-9; // bounds are roots by Brent's method to an absolute 2e-12
    private const string Index = "index", Threshold = "lambda";

    private static readonly (string Name, ExitRisk Risk)[] Risks =
    [
        ("gap01", ExitRisk.Gap), ("consistency01", ExitRisk.Consistency), ("gapBrier", ExitRisk.BrierGap),
        ("consistencyBrier", ExitRisk.BrierConsistency),
    ];

    public static IEnumerable<VerifiedQuantity> Run(string path, Device device)
    {
        using GoldenFile golden = GoldenFile.Open(path, device);
        return GoldenComparison.Run(
            golden, IsInput, comparison => CheckAll(golden, comparison), quantityOf: key => string.Join('/', key.Split('/').Where(IsName)));
    }

    private static bool IsInput(string key)
        => key.StartsWith("config/", StringComparison.Ordinal) || key.Contains("semseg_", StringComparison.Ordinal)
            || key is "cal/prob" or "cal/label" or "test/prob" or "test/label"
            || key.Split('/') is ["wsr", _, "x" or "bound"];

    /// <summary><c>wsr/3/delta0.1/ucb</c> counts as <c>wsr/delta0.1/ucb</c>, for every case.</summary>
    private static bool IsName(string part) => !part.All(char.IsAsciiDigit);

    private static void CheckAll(GoldenFile golden, GoldenComparison comparison)
    {
        using DisposeScope scope = NewDisposeScope();
        double[] grid = GoldenFile.Values(golden["lambda_grid"]);
        comparison.Check("lambda_grid", tensor(SharedThreshold.Grid(grid.Length - 1)));
        foreach (string set in (string[])["cal", "test"])
        {
            CheckAnswers(golden, comparison, set, grid);
        }

        foreach ((string name, ExitRisk risk) in Risks)
        {
            new OfRisk(golden, comparison, name, risk, grid).Check();
        }

        foreach (string at in golden.KeysUnder("wsr").Select(key => key.Split('/')).Where(key => key is [_, _, "ucb"])
            .Select(key => $"{key[0]}/{key[1]}"))
        {
            CheckBound(golden, comparison, $"wsr/{at}");
        }

        CheckTable(golden, comparison);
    }

    private static void CheckAnswers(GoldenFile golden, GoldenComparison comparison, string set, double[] grid)
    {
        Tensor prob = golden[$"{set}/prob"], label = golden[$"{set}/label"]; // [K, N, C], [N]
        (Tensor confidence, Tensor prediction) = prob.max(2);
        comparison.Check($"{set}/confidence", confidence);
        comparison.Check($"{set}/prediction", prediction, Exact);
        comparison.Check($"{set}/accuracy", prediction.eq(label).to_type(float64).mean([1]));
        var images = new SharedThreshold(confidence.t(), zeros_like(confidence.t()));
        comparison.Check($"{set}/mean_exit", tensor(Array.ConvertAll(grid, at => images.ExitsAt(at).Average(exit => exit + 1.0))));
        foreach (string at in golden.KeysUnder($"{set}/exit_at"))
        {
            long[] exits = [.. images.ExitsAt(grid[IndexOf(at)]).Select(exit => exit + 1L)];
            comparison.Check($"{set}/exit_at/{at}", tensor(exits), Exact);
        }
    }

    private static int IndexOf(string text) => int.Parse(text, CultureInfo.InvariantCulture);

    private static void CheckBound(GoldenFile golden, GoldenComparison comparison, string at)
    {
        string of = at[..at.LastIndexOf('/')];
        double delta = double.Parse(at[(of.Length + "/delta".Length)..], CultureInfo.InvariantCulture);
        var bound = new BettingBound(GoldenFile.Values(golden[$"{of}/x"]), delta, golden.Real($"{of}/bound"));
        comparison.Check($"{of}/mu", tensor(bound.Means.ToArray()));
        comparison.Check($"{of}/variance", tensor(bound.Variances.ToArray()));
        comparison.Check($"{at}/nu", tensor(bound.Bets.ToArray()));
        comparison.Check($"{at}/log_capital_at_1", bound.LogCapital(1));
        comparison.Check($"{at}/ucb", bound.UpperBound(), Root);
    }

    /// <summary>Rows of n, count, ε and both p-values, from the mean in floating point as the public functions take it.</summary>
    private static void CheckTable(GoldenFile golden, GoldenComparison comparison)
    {
        double[][] rows = [.. GoldenFile.Values(golden["hb/table"]).Chunk(5)];
        double[] own = [.. rows.SelectMany(row =>
        {
            (double mean, int samples, double epsilon) = (row[1] / row[0], (int)row[0], row[2]);
            return (double[])[PublicHoeffdingBentkus(mean, samples, epsilon), PublicBinomial(mean, samples, epsilon)];
        })];
        comparison.CheckError("hb/table", GoldenFile.RelativeError(own, [.. rows.SelectMany(row => row[3..])]));
    }

    /// <summary>The public function takes a mean; where it is 0, its relative entropy is NaN and is ignored.</summary>
    private static double PublicHoeffdingBentkus(double mean, int samples, double epsilon)
        => mean == 0
            ? Math.E * LearnThenTest.Binomial(0, samples, epsilon)
            : LearnThenTest.HoeffdingBentkus(mean * samples, samples, epsilon);

    private static double PublicBinomial(double mean, int samples, double epsilon)
        => LearnThenTest.Binomial((int)Math.Min(Math.Ceiling(mean * samples), samples), samples, epsilon);

    /// <summary>The quantities of one risk; G thresholds, E values of ε.</summary>
    private sealed class OfRisk(GoldenFile golden, GoldenComparison comparison, string name, ExitRisk risk, double[] grid)
    {
        private readonly double[] _epsilons = GoldenFile.Values(golden["config/epsilon"]);
        private readonly double _delta = golden.Real("config/delta");
        private readonly double[][] _losses = LossesOf(golden, "cal", risk, grid); // [G][n]

        private int Samples => _losses[0].Length;

        public void Check()
        {
            comparison.Check($"{name}/bound", risk.Bound, Exact);
            double[] risks = Array.ConvertAll(_losses, losses => losses.Average());
            comparison.Check($"{name}/risk", tensor(risks));
            comparison.Check($"{name}/positive_risk", tensor(Array.ConvertAll(_losses, Positive)));
            comparison.Check($"{name}/test_risk", tensor(Array.ConvertAll(LossesOf(golden, "test", risk, grid), of => of.Average())));
            foreach (string at in golden.KeysUnder($"{name}/loss_at"))
            {
                comparison.Check($"{name}/loss_at/{at}", tensor(_losses[IndexOf(at)]));
            }

            comparison.Check(
                $"{name}/ucb_wsr", tensor(Array.ConvertAll(_losses, of => new BettingBound(of, _delta, risk.Bound).UpperBound())), Root);
            CheckIndex("naive", epsilon => Math.Max(Array.FindLastIndex(risks, mean => mean < epsilon), 0));
            CheckIndex("crc", epsilon => RiskControl.Conformal(risks, Samples, risk.Bound, epsilon));
            CheckIndex("ucb_wsr", epsilon => RiskControl.Choose(
                new RiskTarget(risk, epsilon, _delta, RiskControlMethod.Ucb), grid.Length, at => _losses[at]).Index);
            CheckTests();
        }

        private static double[][] LossesOf(GoldenFile golden, string set, ExitRisk risk, double[] grid)
        {
            using DisposeScope scope = NewDisposeScope();
            Tensor prob = golden[$"{set}/prob"].permute(1, 0, 2); // [N, K, C]
            var images = new SharedThreshold(prob.max(2).values, risk.Losses(prob, golden[$"{set}/label"]));
            return Array.ConvertAll(grid, images.LossesAt);
        }

        /// <summary>
        /// Learn then Test; the public code uses float32 means of 0/1 losses and takes the first index that is not certified.
        /// </summary>
        private void CheckTests()
        {
            double[] means = Array.ConvertAll(_losses, of => risk.IsBinary ? (float)Positive(of) : Positive(of));
            CheckTest("hb", "p_hb", (at, epsilon) => PublicHoeffdingBentkus(means[at], Samples, epsilon));
            if (risk.IsBinary)
            {
                int[] counts = Array.ConvertAll(_losses, of => of.Count(loss => loss > 0));
                CheckTest("binomial", "p_binomial", (at, epsilon) => PublicBinomial(means[at], Samples, epsilon));
                CheckExact("hb", (at, epsilon) => LearnThenTest.HoeffdingBentkus(counts[at], Samples, epsilon));
                CheckExact("binomial", (at, epsilon) => RiskControl.PValue(risk, _losses[at], epsilon));
            }
        }

        private void CheckTest(string method, string key, Func<int, double, double> pValue)
        {
            CheckPValues(key, pValue);
            CheckIndex($"ltt_{method}_certified", epsilon => Certified(epsilon, pValue));
            CheckIndex($"ltt_{method}_public", epsilon => Math.Min(Certified(epsilon, pValue) + 1, grid.Length - 1));
        }

        private void CheckExact(string method, Func<int, double, double> pValue)
        {
            CheckPValues($"p_{method}_exact_count", pValue);
            CheckIndex($"ltt_{method}_exact_count", epsilon => Certified(epsilon, pValue));
        }

        private int Certified(double epsilon, Func<int, double, double> pValue)
            => LearnThenTest.FixedSequence(grid.Length, at => pValue(at, epsilon) <= _delta);

        private void CheckPValues(string key, Func<int, double, double> pValue)
        {
            double[] values = [.. Enumerable.Range(0, grid.Length).SelectMany(_ => _epsilons, pValue)];
            comparison.Check($"{name}/{key}", tensor(values, [grid.Length, _epsilons.Length]));
        }

        private void CheckIndex(string method, Func<double, int> indexOf)
        {
            int[] found = Array.ConvertAll(_epsilons, epsilon => indexOf(epsilon));
            comparison.Check($"{name}/{Index}/{method}", tensor(Array.ConvertAll(found, index => (long)index)), Exact);
            comparison.Check($"{name}/{Threshold}/{method}", tensor(Array.ConvertAll(found, index => grid[Math.Max(index, 0)])), Exact);
        }

        private static double Positive(double[] losses) => losses.Average(loss => Math.Max(loss, 0));
    }
}

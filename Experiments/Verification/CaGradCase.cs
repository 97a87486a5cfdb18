using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary><c>cagrad*.pt</c>: exact weights and directions for several c; gradients of all sizes, small ones too.</summary>
internal static class CaGradCase
{
    public static IEnumerable<VerifiedQuantity> Run(string path, Device device)
    {
        using GoldenFile golden = GoldenFile.Open(path, device);
        return GoldenComparison.Run(golden, IsInput, comparison => CheckAll(golden, comparison), quantityOf: key => key.Replace('/', ' '));
    }

    /// <summary>The public results are not compared: they come from solvers that stop early.</summary>
    private static bool IsInput(string key) => key.StartsWith("config/", StringComparison.Ordinal)
        || key.Split('/')[^1] is var name && (name is "grads" or "reach" || name.StartsWith("public_", StringComparison.Ordinal));

    private static void CheckAll(GoldenFile golden, GoldenComparison comparison)
    {
        foreach (string name in GoldenGradients.Cases(golden))
        {
            using DisposeScope scope = NewDisposeScope();
            ExitGradients gradients = new GoldenGradients(golden, name).All();
            double[,] gram = gradients.Gram();
            comparison.Check($"{name}/gram", tensor(gram));
            foreach (double c in GoldenFile.Values(golden["config/c"]))
            {
                Check(comparison, gradients, gram, c, FormattableString.Invariant($"{name}/c{c}"));
            }
        }
    }

    private static void Check(GoldenComparison comparison, ExitGradients gradients, double[,] gram, double c, string at)
    {
        (double[] weights, double lambda) = CaGrad.Solve(gram, c);
        comparison.Check($"{at}/w", tensor(weights));
        comparison.Check($"{at}/lambda", lambda);
        comparison.CheckError($"{at}/kkt_residual", Residual(gram, weights, lambda));
        Check("direction", CaGradRescale.None);
        Check("direction_rescale1", CaGradRescale.OnePlusCSquared);
        Check("direction_rescale2", CaGradRescale.OnePlusC);

        void Check(string key, CaGradRescale rescale) => comparison.Check(
            $"{at}/{key}", GoldenGradients.Flat(gradients.Sum(CaGrad.Coefficients(gram, new CaGradOptions { C = c, Rescale = rescale }))));
    }

    /// <summary>
    /// How far ⟨g_k, d⟩ is from its least value where w_k &gt; 0, relative to the largest: at the minimum all of these are equal.
    /// </summary>
    private static double Residual(double[,] gram, double[] weights, double lambda)
    {
        int exits = weights.Length;
        double[] products = [.. Enumerable.Range(0, exits).Select(k => Enumerable.Range(0, exits)
            .Sum(j => gram[k, j] * ((1.0 / exits) + (lambda * weights[j]))))];
        double least = products.Min();
        return products.Zip(weights).Where(pair => pair.Second > 0).Max(pair => pair.First - least) / products.Max(Math.Abs);
    }
}

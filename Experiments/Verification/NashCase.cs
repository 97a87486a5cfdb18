using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary><c>nash*.pt</c>: the bargaining solution, also where the public iteration stops elsewhere.</summary>
internal static class NashCase
{
    public static IEnumerable<VerifiedQuantity> Run(string path, Device device)
    {
        using GoldenFile golden = GoldenFile.Open(path, device);
        return GoldenComparison.Run(golden, IsInput, comparison => CheckAll(golden, comparison), quantityOf: key => key.Replace('/', ' '));
    }

    /// <summary>The public normalisation is the Gram matrix's norm; other public results stop early and are not compared.</summary>
    private static bool IsInput(string key) => key.StartsWith("config/", StringComparison.Ordinal)
        || key.Split('/') is [.., "grads" or "reach"]
        || (key.Contains("/public", StringComparison.Ordinal) && !key.EndsWith("/public_normalization", StringComparison.Ordinal));

    private static void CheckAll(GoldenFile golden, GoldenComparison comparison)
    {
        foreach (string name in GoldenGradients.Cases(golden))
        {
            using DisposeScope scope = NewDisposeScope();
            ExitGradients gradients = new GoldenGradients(golden, name).All();
            double[,] gram = gradients.Gram();
            double[] alpha = NashMtl.Solve(gram);
            comparison.Check($"{name}/gram", tensor(gram));
            comparison.Check($"{name}/public_normalization", Math.Sqrt(gram.Cast<double>().Sum(element => element * element)));
            comparison.Check($"{name}/alpha", tensor(alpha));
            comparison.CheckError($"{name}/alpha_residual", Residual(gram, alpha));
            comparison.Check($"{name}/direction", GoldenGradients.Flat(gradients.Sum(alpha)));
            comparison.Check($"{name}/direction_clipped1", GoldenGradients.Flat(gradients.Sum(NashMtl.Clip(alpha, gram, maxNorm: 1))));
            comparison.Check(
                $"{name}/second/alpha", tensor(NashMtl.Solve(new GoldenGradients(golden, name, "second/grads").All().Gram())));
        }
    }

    /// <summary>max_i |α_i (Mα)_i − 1|.</summary>
    private static double Residual(double[,] gram, double[] alpha) => alpha
        .Select((own, i) => Math.Abs((own * alpha.Select((other, k) => gram[i, k] * other).Sum()) - 1)).Max();
}

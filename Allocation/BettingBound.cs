using MathNet.Numerics.RootFinding;

namespace Imta.MetaWeight.Allocation;

/// <summary>
/// An upper confidence bound on a mean by betting against it (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by
/// betting", JRSS B 2024; in Jazbec et al., NeurIPS 2024, appendix). With losses x_j ≤ B, j = 1 … n:
/// <list type="bullet">
/// <item>mean μ_i = (½ + Σ_{j≤i} x_j) / (i + 1)</item>
/// <item>variance σ²_i = (¼ + Σ_{j≤i} (x_j − μ_j)²) / (i + 1), σ²_0 = ¼</item>
/// <item>bet ν_i = min(√(2 ln(1/δ) / (n σ²_{i−1})), 1/B), which depends on earlier losses only</item>
/// <item>capital K(m) = max_i Π_{j≤i} (1 − ν_j (x_j − m)), which exceeds 1/δ with probability at most δ if the mean is m or larger</item>
/// </list>
/// The bound is the m with K(m) = 1/δ.
/// </summary>
/// <remarks>
/// It depends on the order of the losses and is valid for any order that does not depend on them: one in which losses are exchangeable.
/// Sorted samples have to be permuted at random first. Losses may be negative, without a lower limit; they are not rescaled.
/// </remarks>
public sealed class BettingBound
{
    private const double Least = 1e-10; // the smallest bound that is returned
    private const double Accuracy = 1e-14;
    private const int Iterations = 200;

    private readonly double[] _losses;
    private readonly double[] _means;
    private readonly double[] _variances;
    private readonly double[] _bets;
    private readonly double _delta;
    private readonly double _most;

    /// <param name="losses">n losses, each at most <paramref name="most"/>, in the order of betting.</param>
    /// <param name="delta">δ, in (0, 1).</param>
    /// <param name="most">B, at least 1.</param>
    public BettingBound(double[] losses, double delta, double most)
    {
        int samples = losses.Length;
        (_losses, _delta, _most) = (losses, delta, most);
        (_means, _variances, _bets) = (new double[samples], new double[samples], new double[samples]);
        double sum = 0.5, squares = 0.25;
        for (int i = 0; i < samples; i++)
        {
            _variances[i] = squares / (i + 1);
            _bets[i] = Math.Min(Math.Sqrt(2 * Math.Log(1 / delta) / (samples * _variances[i])), 1 / most);
            sum += losses[i];
            _means[i] = sum / (i + 2);
            double distance = losses[i] - _means[i];
            squares += distance * distance;
        }
    }

    /// <summary>μ_1 … μ_n.</summary>
    public IReadOnlyList<double> Means => _means;

    /// <summary>σ²_0 … σ²_{n−1}: what is known before each bet.</summary>
    public IReadOnlyList<double> Variances => _variances;

    /// <summary>ν_1 … ν_n.</summary>
    public IReadOnlyList<double> Bets => _bets;

    /// <summary>The bound; B where it would be above 1.</summary>
    public double UpperBound() => LogCapital(1) < 0 ? _most
        : LogCapital(Least) > 0 ? Least
        : Brent.FindRoot(LogCapital, Least, 1, Accuracy, Iterations);

    /// <summary>ln(δ K(m)), which grows with m: above 0 where the bound is less than m.</summary>
    /// <param name="mean">m.</param>
    public double LogCapital(double mean)
    {
        double log = 0, most = double.NegativeInfinity;
        for (int i = 0; i < _losses.Length; i++)
        {
            log += Math.Log(1 - (_bets[i] * (_losses[i] - mean)));
            most = Math.Max(most, log);
        }

        return most + Math.Log(_delta);
    }
}

using MathNet.Numerics.RootFinding;

namespace Imta.MetaWeight.Allocation;

/// <summary>
/// Learn then Test (Angelopoulos et al., "Learn then Test: Calibrating predictive algorithms to achieve risk control", AoAS 2025): a
/// p-value of "the risk is above ε" for each threshold, and tests in a fixed sequence, which keep the probability of any false rejection at
/// most δ.
/// </summary>
public static class LearnThenTest
{
    private const double Accuracy = 1e-14;
    private const int Iterations = 200;

    /// <summary>The p-value for n losses that are 0 or 1, s of them 1: P(Bin(n, ε) ≤ s), exact.</summary>
    /// <param name="count">s.</param>
    /// <param name="samples">n.</param>
    /// <param name="epsilon">ε, in (0, 1).</param>
    public static double Binomial(int count, int samples, double epsilon)
        => MathNet.Numerics.Distributions.Binomial.CDF(epsilon, samples, count);

    /// <summary>
    /// Hoeffding-Bentkus for losses in [0, 1] (Learn then Test, proposition 7): min(e P(Bin(n, ε) ≤ ⌈s⌉), exp(−n h(min(s/n, ε), ε))),
    /// h(a, b) = a ln(a/b) + (1 − a) ln((1 − a)/(1 − b)).
    /// </summary>
    /// <param name="sum">s, the sum of the losses. For losses that are 0 or 1 it is the number of ones, without rounding.</param>
    /// <param name="samples">n.</param>
    /// <param name="epsilon">ε, in (0, 1).</param>
    public static double HoeffdingBentkus(double sum, int samples, double epsilon)
    {
        double mean = Math.Min(sum / samples, epsilon);
        double entropy = (mean > 0 ? mean * Math.Log(mean / epsilon) : 0) + ((1 - mean) * Math.Log((1 - mean) / (1 - epsilon)));
        return Math.Min(Math.E * Binomial((int)Math.Min(Math.Ceiling(sum), samples), samples, epsilon), Math.Exp(-samples * entropy));
    }

    /// <summary>The smallest ε whose p-value is at most δ, 1 if there is none: an upper bound on the risk at level 1 − δ.</summary>
    /// <param name="pValue">The p-value as a function of ε; falls from 1 as ε grows.</param>
    /// <param name="delta">δ, in (0, 1).</param>
    public static double UpperBound(Func<double, double> pValue, double delta) => pValue(1 - Accuracy) <= delta
        ? Brent.FindRoot(epsilon => pValue(epsilon) - delta, Accuracy, 1 - Accuracy, Accuracy, Iterations)
        : 1;

    /// <summary>The last hypothesis of a fixed sequence before the first that is not rejected; −1 if that is hypothesis 0.</summary>
    /// <param name="count">The number of hypotheses.</param>
    /// <param name="isRejected">Tests a hypothesis, 0 … count − 1.</param>
    public static int FixedSequence(int count, Func<int, bool> isRejected)
    {
        int last = -1;
        while (last + 1 < count && isRejected(last + 1))
        {
            last++;
        }

        return last;
    }
}

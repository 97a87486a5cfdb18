using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using MathNet.Numerics.LinearAlgebra;

namespace Imta.MetaWeight.Meta.Gradients;

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>Settings of <see cref="NashMtl"/>.</summary>
public sealed record NashMtlOptions
{
    [Description(
        "Largest norm of the direction, over all parameters; null: no limit, so the norm is the square root of the number of exits")]
    [Range(0.0, double.MaxValue, MinimumIsExclusive = true)]
    public double? MaxNorm { get; init; }
}

#pragma warning restore CS1591

/// <summary>
/// Nash-MTL (Navon et al., "Multi-Task Learning as a Bargaining Game", ICML 2022): the direction Σ_k α_k g_k of norm √K on which the exits
/// agree in Nash's bargaining game, α &gt; 0 with α_i ⟨g_i, Σ_k α_k g_k⟩ = 1 (eq. 3). It does not change with the scale of any exit's loss.
/// </summary>
/// <param name="options">The largest norm.</param>
public sealed class NashMtl(NashMtlOptions options) : GramCombination
{
    private const int MaxSteps = 200;
    private const double Unbounded = 1e4; // bound on α_k |g_k|

    /// <summary>
    /// α, by Newton steps on its convex form: it minimises ½ αᵀMα − Σ_k log α_k. An exit without gradient gets 0. If a combination of the
    /// gradients with positive coefficients vanishes, no α exists: it stops growing where the direction is almost 0.
    /// </summary>
    /// <param name="gram">M = ⟨g_k, g_j⟩ <c>[K, K]</c>, all finite.</param>
    public static double[] Solve(double[,] gram)
    {
        int[] exits = [.. Enumerable.Range(0, gram.GetLength(0)).Where(k => gram[k, k] > 0)];
        double[] norms = [.. exits.Select(k => Math.Sqrt(gram[k, k]))];
        var alpha = new double[gram.GetLength(0)];
        if (exits.Length > 0)
        {
            var cosines = Matrix<double>.Build.Dense(exits.Length, exits.Length, (i, j) => gram[exits[i], exits[j]] / norms[i] / norms[j]);
            Vector<double> scaled = Bargain(cosines);
            for (int i = 0; i < exits.Length; i++)
            {
                alpha[exits[i]] = scaled[i] / norms[i];
            }
        }

        return alpha;
    }

    /// <summary>a scaled such that d = Σ_k a_k g_k has at most a given norm, as in the public code: by min(1, norm/(|d| + 10⁻⁶)).</summary>
    /// <param name="coefficients">a, K numbers.</param>
    /// <param name="gram">⟨g_k, g_j⟩ <c>[K, K]</c>.</param>
    /// <param name="maxNorm">The largest norm; null: no limit.</param>
    public static double[] Clip(double[] coefficients, double[,] gram, double? maxNorm)
    {
        if (maxNorm is not { } most)
        {
            return coefficients;
        }

        var a = Vector<double>.Build.DenseOfArray(coefficients);
        double norm = Math.Sqrt(Math.Max(0, a * (Matrix<double>.Build.DenseOfArray(gram) * a)));
        return [.. a * Math.Min(1, most / (norm + 1e-6))];
    }

    /// <inheritdoc/>
    protected override double[] Coefficients(double[,] gram) => Clip(Solve(gram), gram, options.MaxNorm);

    /// <summary>β &gt; 0 with β_i (Nβ)_i = 1, by damped Newton steps: ½ βᵀNβ − Σ log β is self-concordant.</summary>
    /// <param name="cosines">N, with ones on its diagonal.</param>
    private static Vector<double> Bargain(Matrix<double> cosines)
    {
        var beta = Vector<double>.Build.Dense(cosines.RowCount, 1);
        for (int step = 0; step < MaxSteps && beta.Maximum() < Unbounded; step++)
        {
            Vector<double> inverse = 1 / beta;
            Vector<double> slope = (cosines * beta) - inverse;
            Vector<double> change = -(cosines + Matrix<double>.Build.DenseOfDiagonalVector(inverse.PointwisePower(2))).Solve(slope);
            double decrement = Math.Sqrt(-(slope * change));
            if (!(decrement > 0)) // solved to the last bit, or rounding left N not positive definite
            {
                break;
            }

            beta += change * (decrement < 0.25 ? 1 : 1 / (1 + decrement));
            if (decrement < 1e-9)
            {
                break;
            }
        }

        return beta;
    }
}

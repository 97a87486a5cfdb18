using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Imta.MetaWeight.Meta.Gradients;

/// <summary>What CAGrad's direction is divided by.</summary>
public enum CaGradRescale
{
    /// <summary>Nothing: the paper's direction.</summary>
    None,

    /// <summary>1 + c² (<c>rescale 1</c> of the public code).</summary>
    OnePlusCSquared,

    /// <summary>1 + c (<c>rescale 2</c> of the public code).</summary>
    OnePlusC,
}

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>Settings of <see cref="CaGrad"/>.</summary>
public sealed record CaGradOptions
{
    [Description("Distance of the direction from the mean gradient, relative to the mean gradient; 0: the mean gradient")]
    [Range(0.0, 1.0, MaximumIsExclusive = true)]
    public double C { get; init; } = 0.5;

    [Description("What the direction is divided by: nothing (the paper), 1 + c^2 or 1 + c (the public code's rescale 1 and 2)")]
    public CaGradRescale Rescale { get; init; } = CaGradRescale.None;
}

#pragma warning restore CS1591

/// <summary>
/// CAGrad (Liu et al., "Conflict-Averse Gradient Descent for Multi-task Learning", NeurIPS 2021, algorithm 1): of the directions within
/// c|g_0| of the mean gradient g_0, the one whose smallest inner product with an exit's gradient is largest: d = g_0 + λ g_w, λ =
/// c|g_0|/|g_w|, where w minimises ⟨g_w, g_0⟩ + c|g_0||g_w| over the simplex, g_w = Σ_k w_k g_k.
/// </summary>
/// <param name="options">c, and the scale of the direction.</param>
public sealed class CaGrad(CaGradOptions options) : GramCombination
{
    // Relative to the largest |g_k|². Below it, |g_w|² is rounding error, and g_w has no direction.
    private const double Vanishing = 1e-15;

    /// <summary>w and λ. Where g_w vanishes its direction is undefined, and λ is 0.</summary>
    /// <param name="gram">⟨g_k, g_j⟩ <c>[K, K]</c>, all finite.</param>
    /// <param name="c">c, at least 0 and below 1.</param>
    public static (double[] Weights, double Lambda) Solve(double[,] gram, double c)
    {
        int exits = gram.GetLength(0);
        double largest = Enumerable.Range(0, exits).Max(k => gram[k, k]);
        double ofMean = gram.Cast<double>().Sum() / exits / exits; // |g_0|²
        if (!(c > 0) || !(ofMean > Vanishing * largest))
        {
            return ([.. Enumerable.Repeat(1.0 / exits, exits)], 0);
        }

        var problem = new SimplexProblem(gram, largest, c);
        double[] weights = problem.Minimise();
        double ofWeights = problem.SquaredNorm(weights) * largest; // |g_w|²
        return (weights, ofWeights > Vanishing * largest ? c * Math.Sqrt(ofMean / ofWeights) : 0);
    }

    /// <summary>1/K + λ w_k, divided by what the options say: K numbers.</summary>
    /// <param name="gram">⟨g_k, g_j⟩ <c>[K, K]</c>, all finite.</param>
    /// <param name="options">c, and the scale of the direction.</param>
    public static double[] Coefficients(double[,] gram, CaGradOptions options)
    {
        (double[] weights, double lambda) = Solve(gram, options.C);
        double divisor = options.Rescale switch
        {
            CaGradRescale.OnePlusCSquared => 1 + (options.C * options.C),
            CaGradRescale.OnePlusC => 1 + options.C,
            _ => 1,
        };
        return [.. weights.Select(weight => ((1.0 / weights.Length) + (lambda * weight)) / divisor)];
    }

    /// <inheritdoc/>
    protected override double[] Coefficients(double[,] gram) => Coefficients(gram, options);
}

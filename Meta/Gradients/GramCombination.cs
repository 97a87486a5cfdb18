using System.Diagnostics;
using Imta.MetaWeight.Backbones;

namespace Imta.MetaWeight.Meta.Gradients;

/// <summary>
/// Σ_k a_k g_k, whose coefficients follow from the Gram matrix of the exits' gradients g_k, which is all that projections and bargaining
/// between gradients need.
/// </summary>
/// <remarks>
/// Gradients are with respect to all parameters: where a single exit reaches a parameter, as in its head, its coefficient applies there
/// too.
/// </remarks>
public abstract class GramCombination : IGradientCombination
{
    /// <inheritdoc/>
    public bool IsLinear => false;

    /// <summary>None by default.</summary>
    public virtual StateTree State => new();

    /// <inheritdoc/>
    public virtual void LoadState(StateTree state)
    {
    }

    /// <inheritdoc/>
    public IReadOnlyList<Tensor?> Combine(IForward forward, Tensor cotangent, Averaging? averaging = null)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        ExitGradients gradients = ExitGradients.Compute(forward, cotangent);
        using Activity? phase = StepPhases.Start(StepPhases.Combination);
        IReadOnlyList<Tensor?> sum = gradients.Sum(FiniteCoefficients(gradients.Gram()));
        return [.. sum.Select(part => part?.MoveToOuterDisposeScope())];
    }

    /// <summary>a, K numbers.</summary>
    /// <param name="gram">⟨g_k, g_j⟩ <c>[K, K]</c>, all finite.</param>
    protected abstract double[] Coefficients(double[,] gram);

    /// <summary>All NaN if a gradient is not finite, so that the step shows it.</summary>
    private double[] FiniteCoefficients(double[,] gram)
        => gram.Cast<double>().All(double.IsFinite)
            ? Coefficients(gram)
            : [.. Enumerable.Repeat(double.NaN, gram.GetLength(0))];
}

namespace Imta.MetaWeight.Meta.Gradients;

/// <summary>How the gradients of the exits, of one forward pass, become the direction of the real update.</summary>
/// <remarks>Shapes: <c>N</c> samples, <c>K</c> exits.</remarks>
public interface IGradientCombination
{
    /// <summary>
    /// Whether the direction is linear in the gradients of the exits. Weights are learned through a lookahead along their sum, so that a
    /// loop whose weighting learns takes no other combination.
    /// </summary>
    bool IsLinear { get; }

    /// <summary>The direction, one tensor for each parameter; null where no loss reaches a parameter.</summary>
    /// <param name="forward">The pass at θ; <see cref="ExitGradients.ExitGradient"/> gives one exit's gradient by it.</param>
    /// <param name="cotangent"><c>[N, K]</c>; w/N for the weighted losses mean_i w_ik l_ik of the exits k.</param>
    IReadOnlyList<Tensor?> Combine(IForward forward, Tensor cotangent);
}

/// <summary>Σ_k ∇_θ mean_i w_ik l_ik: the gradient of the weighted loss, by one transposition of the pass.</summary>
public sealed class GradientSum : IGradientCombination
{
    /// <inheritdoc/>
    public bool IsLinear => true;

    /// <inheritdoc/>
    public IReadOnlyList<Tensor?> Combine(IForward forward, Tensor cotangent) => forward.Gradient(cotangent);
}

/// <summary>The mean over processes of what another combination makes of each one's gradients.</summary>
/// <param name="inner">The combination in each process.</param>
/// <param name="averaging">Over the processes.</param>
public sealed class AveragedCombination(IGradientCombination inner, Averaging averaging) : IGradientCombination
{
    /// <inheritdoc/>
    public bool IsLinear => inner.IsLinear;

    /// <inheritdoc/>
    public IReadOnlyList<Tensor?> Combine(IForward forward, Tensor cotangent)
        => averaging.Mean(inner.Combine(forward, cotangent), cotangent.shape[0]);
}

/// <summary>The gradients of single exits.</summary>
public static class ExitGradients
{
    /// <summary>∇_θ ⟨cotangent_k, l_k⟩ of exit k alone, one for each parameter; null, or 0, where its loss reaches none.</summary>
    /// <param name="forward">The pass at θ.</param>
    /// <param name="cotangent"><c>[N, K]</c>.</param>
    /// <param name="exit">k, from 0.</param>
    public static IReadOnlyList<Tensor?> ExitGradient(this IForward forward, Tensor cotangent, int exit)
    {
        using IDisposable noGrad = no_grad();
        using Tensor alone = zeros_like(cotangent);
        alone.select(1, exit).copy_(cotangent.select(1, exit));
        return forward.Gradient(alone);
    }
}

using Imta.MetaWeight.Backbones;

namespace Imta.MetaWeight.Meta.Gradients;

/// <summary>
/// How the exits' gradients from one forward pass are combined into the direction of the real update. By default it has no state.
/// </summary>
/// <remarks>Shapes: <c>N</c> samples, <c>K</c> exits.</remarks>
public interface IGradientCombination : IStateful, IDisposable
{
    /// <summary>The name of a combination's group in the state of a run's model.</summary>
    const string StateGroup = "gradient_combination";

    /// <summary>
    /// Whether the direction is linear in the exits' gradients, as their sum is. Weights are learned through a lookahead along the sum, so
    /// a loop whose weighting learns accepts linear combinations only.
    /// </summary>
    bool IsLinear { get; }

    /// <summary>The direction, one tensor for each parameter; null where no loss reaches a parameter.</summary>
    /// <param name="forward">The pass at θ; <see cref="IForward.ExitGradient"/> gives one exit's gradient.</param>
    /// <param name="cotangent"><c>[N, K]</c>; w/N for the weighted losses mean_i w_ik l_ik of the exits k.</param>
    /// <param name="averaging">
    /// Averages over processes what must be the same in all of them; null: single-process training. The caller averages the directions;
    /// for a nonlinear combination the result differs from the direction for the mean gradients.
    /// </param>
    IReadOnlyList<Tensor?> Combine(IForward forward, Tensor cotangent, Averaging? averaging = null);

    /// <summary>Called after an epoch's last step.</summary>
    void EndEpoch()
    {
    }

    /// <inheritdoc/>
    StateTree IStateful.State => new();

    /// <inheritdoc/>
    void IStateful.LoadState(StateTree state)
    {
    }

    /// <inheritdoc/>
    void IDisposable.Dispose() => GC.SuppressFinalize(this);
}

/// <summary>Σ_k ∇_θ mean_i w_ik l_ik: the gradient of the weighted loss, by one backward pass.</summary>
public sealed class GradientSum : IGradientCombination
{
    /// <inheritdoc/>
    public bool IsLinear => true;

    /// <inheritdoc/>
    public IReadOnlyList<Tensor?> Combine(IForward forward, Tensor cotangent, Averaging? averaging = null) => forward.Gradient(cotangent);
}

/// <summary>
/// ∇_θ mean_i w_iK l_iK of the last exit K alone: the network is trained as one with a single exit. Parameters that lead only to earlier
/// exits stay as they are.
/// </summary>
public sealed class LastExitGradient : IGradientCombination
{
    /// <summary>False: it is only part of the sum along which weights are learned.</summary>
    public bool IsLinear => false;

    /// <inheritdoc/>
    public IReadOnlyList<Tensor?> Combine(IForward forward, Tensor cotangent, Averaging? averaging = null)
        => forward.ExitGradient(cotangent, (int)cotangent.size(1) - 1);
}

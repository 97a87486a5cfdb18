namespace Imta.MetaWeight.Meta.Gradients;

/// <summary>How the gradient of the meta objective with respect to the weights is computed.</summary>
public enum MetaGradientMethod
{
    /// <summary>
    /// Exactly, by one directional derivative of the losses; a network without linearised passes falls back to <see cref="Unrolled"/>.
    /// </summary>
    Forward,

    /// <summary>By differentiating through the lookahead step with a second-order graph, as published.</summary>
    Unrolled,

    /// <summary>Approximately, by finite differences of the losses along the direction that <see cref="Forward"/> uses.</summary>
    FiniteDifference,
}

/// <summary>What a step with <see cref="MetaGradientMethod.Forward"/> stores.</summary>
public enum MetaMemory
{
    /// <summary>The pass at θ, from first to last use.</summary>
    Normal,

    /// <summary>Not the pass at θ during the lookahead: it is recomputed, bit for bit or, if features are rounded, unrounded.</summary>
    Low,
}

/// <summary>Whose gradient the lookahead step uses when several processes share a batch.</summary>
public enum LookaheadScope
{
    /// <summary>Each process takes the lookahead step with its own shard's gradient, as in the published code.</summary>
    Local,

    /// <summary>All take the lookahead step with the mean gradient, and the meta gradient is that of the mean meta objective.</summary>
    Global,
}

/// <summary>Which meta samples contribute at which exit.</summary>
public enum MetaObjectiveKind
{
    /// <summary>Each meta sample at the exit it is allocated to.</summary>
    Allocated,

    /// <summary>Every meta sample at every exit (the ablation).</summary>
    Vanilla,
}

/// <summary>Images and labels of a batch or half batch, on the network's device.</summary>
/// <param name="Images"><c>[N, 3, H, W]</c>, normalised.</param>
/// <param name="Labels">int64 <c>[N]</c>.</param>
public sealed record LabelledImages(Tensor Images, Tensor Labels);

/// <summary>
/// A meta-gradient method. Its forward pass at θ serves the pseudo update, the meta gradient and the real update, and no network is
/// copied.
/// </summary>
public interface IMetaGradient
{
    /// <summary>The forward pass at θ in training mode; batch norm's running statistics are updated here, and only here.</summary>
    IForward Forward(LabelledImages train);

    /// <summary>
    /// ∂L/∂w <c>[N, K]</c>: how the meta objective after one lookahead step changes with the weights of that step.
    /// </summary>
    /// <param name="forward">The pass at θ over the training half, from this method's own <see cref="Forward"/>.</param>
    /// <param name="weights">w <c>[N, K]</c>, detached.</param>
    /// <param name="meta">The meta half.</param>
    /// <param name="rate">The backbone's learning rate.</param>
    MetaGradient WeightGradient(IForward forward, Tensor weights, LabelledImages meta, double rate);
}

/// <summary>A forward pass over N samples at θ: its values, and the gradients of the losses with respect to θ.</summary>
public interface IForward
{
    /// <summary>Detached logits, K × <c>[N, C]</c>.</summary>
    IReadOnlyList<Tensor> Logits { get; }

    /// <summary>Detached plain cross-entropies, <c>[N, K]</c>: the WPN's default input, and what logs show.</summary>
    Tensor CrossEntropies { get; }

    /// <summary>
    /// Detached training losses l, <c>[N, K]</c>: cross-entropies unless label smoothing, distillation or class weights are set.
    /// </summary>
    Tensor Losses { get; }

    /// <summary>∇_θ ⟨cotangent, l⟩, one per parameter; null if no loss depends on the parameter.</summary>
    /// <param name="cotangent"><c>[N, K]</c>; w/N for the weighted loss Σ_k mean_i w_ik l_ik.</param>
    IReadOnlyList<Tensor?> Gradient(Tensor cotangent);

    /// <summary>∇_θ ⟨cotangent_k, l_k⟩ of exit k alone, one per parameter; null, or 0, where its loss does not depend on it.</summary>
    /// <param name="cotangent"><c>[N, K]</c>.</param>
    /// <param name="exit">k, from 0.</param>
    IReadOnlyList<Tensor?> ExitGradient(Tensor cotangent, int exit)
    {
        using IDisposable noGrad = no_grad();
        using Tensor masked = zeros_like(cotangent);
        masked.select(1, exit).copy_(cotangent.select(1, exit));
        return Gradient(masked);
    }
}

/// <summary>The meta objective and its gradient with respect to the weights.</summary>
/// <param name="GradWeights">∂L/∂w <c>[N, K]</c>, detached.</param>
/// <param name="Objective">L, detached, <c>[]</c>.</param>
public sealed record MetaGradient(Tensor GradWeights, Tensor Objective);

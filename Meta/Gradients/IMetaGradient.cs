namespace Imta.MetaWeight.Meta.Gradients;

/// <summary>How the gradient of the meta objective with respect to the weights is computed.</summary>
public enum MetaGradientMethod
{
    /// <summary>Exactly, by one directional derivative of the losses; a network that offers no linearised pass gets <see cref="Unrolled"/>.</summary>
    Forward,

    /// <summary>By differentiating through the lookahead step with a second-order graph, as published.</summary>
    Unrolled,

    /// <summary>Approximately, by a difference quotient of the losses along the direction that <see cref="Forward"/> takes.</summary>
    FiniteDifference,
}

/// <summary>What a step with <see cref="MetaGradientMethod.Forward"/> keeps.</summary>
public enum MetaMemory
{
    /// <summary>The pass at θ, from its first use to its last.</summary>
    Normal,

    /// <summary>Not the pass at θ during the lookahead: it is computed a second time, to the same numbers.</summary>
    Low,
}

/// <summary>Whose gradient a lookahead step takes, where several processes share a batch.</summary>
public enum LookaheadScope
{
    /// <summary>Each process looks ahead by the gradient of its own shard, as the published code does.</summary>
    Local,

    /// <summary>All look ahead by the mean of their gradients, and the meta gradient is that of the mean of their meta objectives.</summary>
    Global,
}

/// <summary>Which meta samples count at which exit.</summary>
public enum MetaObjectiveKind
{
    /// <summary>Each meta sample at the exit it is allocated to.</summary>
    Allocated,

    /// <summary>Every meta sample at every exit (the ablation).</summary>
    Vanilla,
}

/// <summary>Images and labels of a batch or of its half, on the network's device.</summary>
/// <param name="Images"><c>[N, 3, H, W]</c>, normalised.</param>
/// <param name="Labels">int64 <c>[N]</c>.</param>
public sealed record LabelledImages(Tensor Images, Tensor Labels);

/// <summary>
/// How the loop differentiates. Its forward pass at θ serves the pseudo update, the meta gradient and the real update alike: nothing
/// is computed twice and no network is copied.
/// </summary>
public interface IMetaGradient
{
    /// <summary>The forward pass at θ in training mode; batch norm's running statistics move here, and only here.</summary>
    IForward Forward(LabelledImages train);

    /// <summary>
    /// ∂L/∂w <c>[N, K]</c>: how the meta objective after one lookahead step changes with the weights of that step.
    /// </summary>
    /// <param name="forward">The pass at θ over the training half, by this method's own <see cref="Forward"/>.</param>
    /// <param name="weights">w <c>[N, K]</c>, without history.</param>
    /// <param name="meta">The meta half.</param>
    /// <param name="rate">The backbone's learning rate.</param>
    MetaGradient WeightGradient(IForward forward, Tensor weights, LabelledImages meta, double rate);
}

/// <summary>A forward pass over N samples at θ: its values, and the linear map from θ to the losses.</summary>
public interface IForward
{
    /// <summary>Logits without history, K × <c>[N, C]</c>.</summary>
    IReadOnlyList<Tensor> Logits { get; }

    /// <summary>Plain cross-entropies without history, <c>[N, K]</c>: what the WPN reads and logs show.</summary>
    Tensor CrossEntropies { get; }

    /// <summary>Training losses l without history, <c>[N, K]</c>: cross-entropies unless smoothing or class weights are set.</summary>
    Tensor Losses { get; }

    /// <summary>∇_θ ⟨cotangent, l⟩, one for each parameter; null where no loss reaches a parameter.</summary>
    /// <param name="cotangent"><c>[N, K]</c>; w/N for the weighted loss Σ_k mean_i w_ik l_ik.</param>
    IReadOnlyList<Tensor?> Gradient(Tensor cotangent);
}

/// <summary>The meta objective and its gradient by the weights.</summary>
/// <param name="ByWeights">∂L/∂w <c>[N, K]</c>, without history.</param>
/// <param name="Objective">L, without history, <c>[]</c>.</param>
public sealed record MetaGradient(Tensor ByWeights, Tensor Objective);

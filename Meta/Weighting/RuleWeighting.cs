using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Meta.Weighting;

/// <summary>Plain training: every weight is 1, and a batch stays whole.</summary>
public sealed class UniformWeighting : ISampleWeighting
{
    /// <inheritdoc/>
    public string Description => "plain training";

    /// <inheritdoc/>
    public bool CutsBatch => false;

    /// <inheritdoc/>
    public Tensor Features(IForward forward) => forward.CrossEntropies; // [N, K]

    /// <inheritdoc/>
    public Tensor Weights(Tensor features) => ones_like(features); // [N, K]
}

/// <summary>
/// Weights by a fixed rule, for the ablations of L2W-DEN: training samples are allocated to exits by confidence, as its meta samples are,
/// and the allocation determines the weights.
/// </summary>
/// <remarks>Shapes: <c>N</c> samples, <c>K</c> exits.</remarks>
public abstract class RuleWeighting : ISampleWeighting
{
    private readonly double _q;

    private protected RuleWeighting(double q) => _q = q;

    /// <inheritdoc/>
    public abstract string Description { get; }

    /// <inheritdoc/>
    public bool CutsBatch => true;

    /// <summary>The confidences <c>[N, K]</c>.</summary>
    /// <param name="forward">The pass at θ.</param>
    public Tensor Features(IForward forward) => Confidence.PerSample(forward.Logits);

    /// <inheritdoc/>
    public Tensor Weights(Tensor features)
    {
        using IDisposable noGrad = no_grad();
        using DisposeScope scope = NewDisposeScope();
        int[] quotas = ExitShares.Quotas(ExitShares.FromQ(_q, (int)features.shape[1]), features.shape[0]);
        Tensor exits = MetaAllocation.Exits(features, quotas); // [N]
        return scope.MoveToOuter(Weigh(MetaAllocation.Weights(exits, quotas, features.dtype)));
    }

    /// <summary>w <c>[N, K]</c>.</summary>
    /// <param name="means">1/|X⁽ᵏ⁾| for the samples X⁽ᵏ⁾ of exit k, 0 for others, <c>[N, K]</c>.</param>
    private protected abstract Tensor Weigh(Tensor means);
}

/// <summary>N/|X⁽ᵏ⁾| for the samples X⁽ᵏ⁾ of exit k and 0 for others, so that the loss is Σ_k mean over X⁽ᵏ⁾ of l.</summary>
/// <param name="options">The exits' shares of the samples.</param>
public sealed class AllocatedWeighting(MetaOptions options) : RuleWeighting(options.Q)
{
    /// <inheritdoc/>
    public override string Description => "allocated training samples";

    private protected override Tensor Weigh(Tensor means) => means.mul(Held(means.shape[0]));
}

/// <summary>1 + ε · centre(±1), +1 at the sample's exit: the weights that a saturated weight-prediction network would give.</summary>
/// <param name="options">The exits' shares of the samples; ε and centring.</param>
public sealed class FixedWeighting(MetaOptions options) : RuleWeighting(options.Q)
{
    private readonly MetaOptions _options = options;

    /// <inheritdoc/>
    public override string Description => "fixed sample weights";

    private protected override Tensor Weigh(Tensor means)
        => L2wDenWeighting.Perturbed(means.gt(Held(0)).to_type(means.dtype).mul(Held(2)).sub(Held(1)), _options);
}

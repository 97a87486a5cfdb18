using Imta.MetaWeight.Allocation;

namespace Imta.MetaWeight.Meta;

/// <summary>
/// Weights that nothing learns, for the ablations of L2W-DEN: training samples are allocated to exits by confidence, as its meta samples are,
/// and the allocation decides.
/// </summary>
/// <remarks>Shapes: <c>N</c> samples, <c>K</c> exits.</remarks>
public sealed class RuledWeights
{
    private readonly MetaOptions _options;

    /// <summary>The rule <see cref="MetaOptions.Weights"/>, which is not <see cref="WeightRule.Predicted"/>.</summary>
    public RuledWeights(MetaOptions options) => _options = options;

    /// <summary>
    /// w <c>[N, K]</c>, without history. Allocated: N/|X⁽ᵏ⁾| for the samples X⁽ᵏ⁾ of exit k and 0 for others, so that the loss is
    /// Σ_k mean over X⁽ᵏ⁾ of l. Fixed: 1 + ε · centre(±1), + at the sample's exit: what a saturated network would say.
    /// </summary>
    /// <param name="logits">K × <c>[N, C]</c>.</param>
    public Tensor Of(IReadOnlyList<Tensor> logits)
    {
        using IDisposable noGrad = no_grad();
        using DisposeScope scope = NewDisposeScope();
        Tensor confidence = Confidence.PerSample(logits); // [N, K]
        long samples = confidence.shape[0];
        int[] quotas = ExitShares.Quotas(ExitShares.Of(_options.Q, logits.Count), samples);
        Tensor exits = MetaAllocation.Exits(confidence, quotas); // [N]
        Tensor weights = MetaAllocation.Weights(exits, quotas, confidence.dtype); // 1/|X⁽ᵏ⁾| or 0 [N, K]
        return scope.MoveToOuter(_options.Weights == WeightRule.Allocated
            ? weights.mul(samples)
            : SampleWeighting.Perturbed(weights.gt(0).to_type(weights.dtype).mul(2).sub(1), _options));
    }
}

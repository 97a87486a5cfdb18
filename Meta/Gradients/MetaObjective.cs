using System.Diagnostics;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Losses;

namespace Imta.MetaWeight.Meta.Gradients;

/// <summary>
/// The meta objective L = Σ_k mean over X⁽ᵏ⁾ of the cross-entropy (L2W-DEN, eq. 6), X⁽ᵏ⁾ the meta samples allocated to exit k.
/// </summary>
/// <remarks>Shapes: <c>M</c> meta samples, <c>K</c> exits.</remarks>
public sealed class MetaObjective
{
    private readonly float[]? _shares;

    /// <summary>The objective with these shares of the meta samples.</summary>
    /// <param name="shares">K shares (<see cref="ExitShares"/>); null: every sample counts at every exit (vanilla).</param>
    public MetaObjective(float[]? shares) => _shares = shares;

    /// <summary>L, a scalar with autograd history, at the logits of the meta samples.</summary>
    /// <param name="logits">K × <c>[M, C]</c>.</param>
    /// <param name="labels">int64 <c>[M]</c>.</param>
    public Tensor Compute(IReadOnlyList<Tensor> logits, Tensor labels)
    {
        Tensor losses = CrossEntropy.PerSample(logits, labels); // [M, K]
        return _shares is null ? losses.mean([0]).sum() : losses.mul(Weights(logits, losses)).sum();
    }

    /// <summary>
    /// L of a network with these parameters in place of its own, and its gradient with respect to them, through libtorch's autograd; null
    /// where L does not depend on a parameter.
    /// </summary>
    internal (Tensor Objective, IReadOnlyList<Tensor?> ByParameters) Differentiate(
        MultiExitNetwork network, IReadOnlyList<Tensor> parameters, LabelledImages meta)
    {
        using Activity? phase = StepPhases.Start(StepPhases.Meta);
        using IDisposable grad = enable_grad();
        Tensor[] leaves = [.. parameters.Select(parameter => parameter.detach().requires_grad_())];
        Tensor objective = Compute(network.Forward(meta.Images, leaves, NormStatistics.Batch), meta.Labels);
        return (objective.detach(), Autograd.Gradients("the meta objective", [objective], null, leaves));
    }

    private Tensor Weights(IReadOnlyList<Tensor> logits, Tensor losses)
    {
        using IDisposable noGrad = no_grad();
        Tensor confidence = Confidence.PerSample(logits); // [M, K]
        int[] quotas = ExitShares.Quotas(_shares!, confidence.shape[0]);
        return MetaAllocation.Weights(MetaAllocation.Exits(confidence, quotas), quotas, losses.dtype); // [M, K]
    }
}

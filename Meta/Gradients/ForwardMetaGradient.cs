using System.Diagnostics;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Linearised;
using Imta.MetaWeight.Losses;

namespace Imta.MetaWeight.Meta.Gradients;

/// <summary>
/// The exact meta gradient without a second-order graph. L depends on w only through θ′, which is affine in the gradient G of the weighted
/// loss, parameter by parameter: ∂θ′_p/∂G_p = −r·c_p. With u_p = r·c_p·∂L/∂θ′_p,
/// <c>∂L/∂w_ik = −(1/N) ⟨∇_θ l_ik, u⟩</c>, and all of ⟨∇_θ l, u⟩ [N, K] is one directional derivative of the losses at θ.
/// </summary>
public sealed class ForwardMetaGradient : IMetaGradient
{
    private readonly MultiExitNetwork _network;
    private readonly Lookahead _lookahead;
    private readonly TrainingLoss _loss;
    private readonly MetaObjective _objective;
    private readonly MetaMemory _memory;

    /// <summary>A method for this network, its lookahead, the training loss l and the meta objective.</summary>
    /// <param name="network">A network that can be linearised.</param>
    /// <param name="lookahead">The lookahead from its parameters.</param>
    /// <param name="loss">l.</param>
    /// <param name="objective">L.</param>
    /// <param name="memory">Whether the pass at θ is kept or recomputed.</param>
    /// <exception cref="ArgumentException">The network cannot be linearised.</exception>
    public ForwardMetaGradient(
        MultiExitNetwork network, Lookahead lookahead, TrainingLoss loss, MetaObjective objective, MetaMemory memory = MetaMemory.Normal)
    {
        if (!network.IsLinearisable)
        {
            throw new ArgumentException(
                $"{network.GetName()} does not support linearised passes; use the unrolled method.", nameof(network));
        }

        (_network, _lookahead, _loss, _objective, _memory) = (network, lookahead, loss, objective, memory);
    }

    /// <inheritdoc/>
    public IForward Forward(LabelledImages train) => new LinearisedForward(_network, _loss, train);

    /// <inheritdoc/>
    public MetaGradient WeightGradient(IForward forward, Tensor weights, LabelledImages meta, double rate)
    {
        using IDisposable noGrad = no_grad();
        var pass = (LinearisedForward)forward;
        (Tensor objective, Tensor?[] direction) = AheadOf(pass, weights, meta, rate);
        if (_memory == MetaMemory.Low)
        {
            pass.Recompute(); // in the caller's scope: the real update uses it too
        }

        using DisposeScope scope = NewDisposeScope();
        foreach (Tensor part in direction.OfType<Tensor>())
        {
            scope.Attach(part);
        }

        LinearisedForward exact = _memory == MetaMemory.Low ? pass : pass.InFullPrecision();
        return new MetaGradient(scope.MoveToOuter(exact.Tangent(direction).mul(Held(-1.0 / weights.shape[0]))), objective); // [N, K]
    }

    /// <summary>L at θ′ and u.</summary>
    private (Tensor Objective, Tensor?[] Direction) AheadOf(LinearisedForward pass, Tensor weights, LabelledImages meta, double rate)
    {
        using DisposeScope scope = NewDisposeScope();
        long samples = weights.shape[0];
        IReadOnlyList<Tensor?> gradients = pass.Gradient(weights.div(Held(samples)), last: _memory == MetaMemory.Low); // G(w)
        VirtualStep ahead = _lookahead.Along(gradients, samples, rate); // θ′
        (Tensor objective, IReadOnlyList<Tensor?> v) = AtLookahead(ahead.Parameters, meta);
        Tensor?[] direction = ahead.Direction(v, meta.Labels.shape[0]); // u
        return (objective.MoveToOuterDisposeScope(), [.. direction.Select(part => part?.MoveToOuterDisposeScope())]);
    }

    /// <summary>L at θ′ and v = ∂L/∂θ′; null where L does not depend on a parameter.</summary>
    private (Tensor Objective, IReadOnlyList<Tensor?> V) AtLookahead(Tensor[] ahead, LabelledImages meta)
    {
        using Activity? phase = StepPhases.Start(StepPhases.Meta);
        LinearisedPass pass = _network.Linearise(meta.Images, ahead, NormStatistics.Batch);
        using IDisposable grad = enable_grad();
        Tensor[] logits = [.. pass.Logits.Select(z => z.detach().requires_grad_())];
        Tensor objective = _objective.Compute(logits, meta.Labels);
        IReadOnlyList<Tensor?> slopes = Autograd.Gradients("the meta objective", [objective], null, logits);
        return (objective.detach(), pass.Gradient([.. slopes.Zip(logits, (slope, z) => slope ?? zeros_like(z))], last: true));
    }
}

using System.Diagnostics;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Losses;

namespace Imta.MetaWeight.Meta.Gradients;

/// <summary>
/// The meta gradient by differentiating through the lookahead step with a second-order graph, as in the published code. It supports
/// any backbone, and is the reference for every other method.
/// </summary>
public sealed class UnrolledMetaGradient : IMetaGradient
{
    private readonly MultiExitNetwork _network;
    private readonly Lookahead _lookahead;
    private readonly TrainingLoss _loss;
    private readonly MetaObjective _objective;

    /// <summary>A method for this network, its lookahead, the training loss l and the meta objective.</summary>
    /// <param name="network">The backbone.</param>
    /// <param name="lookahead">The lookahead from its parameters.</param>
    /// <param name="loss">l.</param>
    /// <param name="objective">L.</param>
    public UnrolledMetaGradient(MultiExitNetwork network, Lookahead lookahead, TrainingLoss loss, MetaObjective objective)
        => (_network, _lookahead, _loss, _objective) = (network, lookahead, loss, objective);

    /// <inheritdoc/>
    public IForward Forward(LabelledImages train) => new GraphForward(_network, _loss, train);

    /// <inheritdoc/>
    public MetaGradient WeightGradient(IForward forward, Tensor weights, LabelledImages meta, double rate)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor w = weights.detach().requires_grad_();
        long samples = w.shape[0];
        IReadOnlyList<Tensor?> gradient = ((GraphForward)forward).Gradient(w.div(Held(samples)), withHistory: true);
        VirtualStep ahead = _lookahead.Along(gradient, samples, rate); // θ′(w)
        (Tensor objective, IReadOnlyList<Tensor?> v) = _objective.Differentiate(_network, ahead.Parameters, meta);
        Tensor byWeights = BackpropagateToWeights(w, ahead, ahead.Shared(v, meta.Labels.shape[0]));
        return new MetaGradient(byWeights.MoveToOuterDisposeScope(), objective.MoveToOuterDisposeScope());
    }

    /// <summary>vᵀ ∂θ′/∂w, through the graphs of the lookahead, the gradient and the forward pass.</summary>
    private static Tensor BackpropagateToWeights(Tensor w, VirtualStep ahead, IReadOnlyList<Tensor?> v)
    {
        using Activity? phase = StepPhases.Start(StepPhases.SecondOrder);
        int[] reached = [.. Enumerable.Range(0, v.Count).Where(p => ahead.Gradients[p] is not null && v[p] is not null)];
        return Autograd.Gradients("the lookahead", [.. reached.Select(p => ahead.Parameters[p])], [.. reached.Select(p => v[p]!)], [w])[0]
            ?? throw new InvalidOperationException("the lookahead does not depend on the sample weights.");
    }
}

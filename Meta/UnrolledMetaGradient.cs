using System.Diagnostics;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Losses;

namespace Imta.MetaWeight.Meta;

/// <summary>
/// The meta gradient by differentiating through the lookahead step with a second-order graph, as the published code does it. It takes
/// any backbone, and is the oracle for every other method.
/// </summary>
public sealed class UnrolledMetaGradient : IMetaGradient
{
    private readonly MultiExitNetwork _network;
    private readonly Sgd _optimiser;
    private readonly MetaObjective _objective;
    private readonly TrainingLoss _loss;

    /// <summary>A method for this network, its optimiser (whose step the lookahead is), the loss l of training and the meta objective.</summary>
    public UnrolledMetaGradient(MultiExitNetwork network, Sgd optimiser, TrainingLoss loss, MetaObjective objective)
    {
        _network = network;
        _optimiser = optimiser;
        _loss = loss;
        _objective = objective;
    }

    /// <inheritdoc/>
    public IForward Forward(LabelledImages train) => new GraphForward(_network, _loss, train);

    /// <inheritdoc/>
    public MetaGradient WeightGradient(IForward forward, Tensor weights, LabelledImages meta, double rate)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor w = weights.detach().requires_grad_();
        IReadOnlyList<Tensor?> gradients = ((GraphForward)forward).Gradient(w / weights.shape[0], withHistory: true); // G(w)
        Tensor[] ahead = _optimiser.Lookahead(gradients, rate); // θ′(w)
        (Tensor objective, IReadOnlyList<Tensor?> v) = _objective.Differentiate(_network, ahead, meta);
        Tensor byWeights = ByWeights(w, gradients, ahead, v);
        return new MetaGradient(byWeights.MoveToOuterDisposeScope(), objective.MoveToOuterDisposeScope());
    }

    /// <summary>vᵀ ∂θ′/∂w, through the graphs of the lookahead, the gradient and the forward pass.</summary>
    private static Tensor ByWeights(Tensor w, IReadOnlyList<Tensor?> gradients, Tensor[] ahead, IReadOnlyList<Tensor?> v)
    {
        using Activity? phase = Phases.Start(Phases.SecondOrder);
        int[] reached = [.. Enumerable.Range(0, ahead.Length).Where(p => gradients[p] is not null && v[p] is not null)];
        return autograd.grad([.. reached.Select(p => ahead[p])], [w], [.. reached.Select(p => v[p]!)])[0];
    }
}

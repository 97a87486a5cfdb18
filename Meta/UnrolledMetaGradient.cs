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
    private readonly Averaging? _averaging;

    /// <summary>A method for this network, its optimiser (whose step the lookahead is), the loss l of training and the meta objective.</summary>
    /// <param name="network">The backbone.</param>
    /// <param name="optimiser">Of its parameters.</param>
    /// <param name="loss">l.</param>
    /// <param name="objective">L.</param>
    /// <param name="averaging">Of the lookahead's gradients over processes (<see cref="LookaheadScope.Global"/>); null: each looks ahead for itself.</param>
    public UnrolledMetaGradient(MultiExitNetwork network, Sgd optimiser, TrainingLoss loss, MetaObjective objective, Averaging? averaging = null)
    {
        _network = network;
        _optimiser = optimiser;
        _loss = loss;
        _averaging = averaging;
        _objective = objective;
    }

    /// <inheritdoc/>
    public IForward Forward(LabelledImages train) => new GraphForward(_network, _loss, train);

    /// <inheritdoc/>
    public MetaGradient WeightGradient(IForward forward, Tensor weights, LabelledImages meta, double rate)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor w = weights.detach().requires_grad_();
        long samples = w.shape[0];
        IReadOnlyList<Tensor?> gradients = WithHistory(((GraphForward)forward).Gradient(w / samples, withHistory: true), samples); // G(w)
        Tensor[] ahead = _optimiser.Lookahead(gradients, rate); // θ′(w)
        (Tensor objective, IReadOnlyList<Tensor?> v) = _objective.Differentiate(_network, ahead, meta);
        v = _averaging.Mean(v, meta.Labels.shape[0]);
        Tensor byWeights = ByWeights(w, gradients, ahead, v);
        return new MetaGradient(byWeights.MoveToOuterDisposeScope(), objective.MoveToOuterDisposeScope());
    }

    /// <summary>The mean over processes, with the history of this one's share: by its own weights, which 1/N of its own shard scales, as everywhere.</summary>
    private IReadOnlyList<Tensor?> WithHistory(IReadOnlyList<Tensor?> gradients, long samples)
    {
        if (_averaging is null)
        {
            return gradients;
        }

        IReadOnlyList<Tensor?> means = _averaging.Mean([.. gradients.Select(gradient => gradient?.detach())], samples);
        return [.. gradients.Zip(means, (own, mean) => own is null ? null : own + (mean! - own.detach()))];
    }

    /// <summary>vᵀ ∂θ′/∂w, through the graphs of the lookahead, the gradient and the forward pass.</summary>
    private static Tensor ByWeights(Tensor w, IReadOnlyList<Tensor?> gradients, Tensor[] ahead, IReadOnlyList<Tensor?> v)
    {
        using Activity? phase = Phases.Start(Phases.SecondOrder);
        int[] reached = [.. Enumerable.Range(0, ahead.Length).Where(p => gradients[p] is not null && v[p] is not null)];
        return Autograd.Gradients("the lookahead", [.. reached.Select(p => ahead[p])], [.. reached.Select(p => v[p]!)], [w])[0]
            ?? throw new InvalidOperationException("the lookahead does not depend on the weights of the samples.");
    }
}

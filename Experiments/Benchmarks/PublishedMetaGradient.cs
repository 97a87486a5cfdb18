using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;

namespace Imta.MetaWeight.Experiments.Benchmarks;

/// <summary>
/// The step in the order of L2W-DEN's published code, with libtorch's ordinary operators and autograd only: the network is copied, the
/// training half goes forward through the copy, a virtual step is taken with a graph of its own, one backward pass runs from the meta loss
/// to the weights and to every parameter of the copy, and the training half goes forward again, through the network itself. The times of
/// other methods are compared with this one; it does nothing that ordinary PyTorch code would not do.
/// </summary>
/// <param name="network">The backbone.</param>
/// <param name="copy">A second network of the same shape, whose parameters and statistics are overwritten.</param>
/// <param name="optimiser">The optimiser of the backbone.</param>
/// <param name="loss">l.</param>
/// <param name="objective">L.</param>
internal sealed class PublishedMetaGradient(
    MultiExitNetwork network, MultiExitNetwork copy, Sgd optimiser, TrainingLoss loss, MetaObjective objective) : IMetaGradient
{
    private readonly UnrolledMetaGradient _real = new(network, new Lookahead(optimiser), loss, objective);
    private bool _isChecked;

    /// <inheritdoc/>
    public IForward Forward(LabelledImages train)
    {
        using (no_grad())
        {
            foreach (((_, Tensor from), (_, Tensor to)) in network.named_buffers().Zip(copy.named_buffers()))
            {
                to.copy_(from);
            }
        }

        return new CopyForward(network, copy, loss, train, () => _real.Forward(train));
    }

    /// <inheritdoc/>
    public MetaGradient WeightGradient(IForward forward, Tensor weights, LabelledImages meta, double rate)
    {
        using DisposeScope scope = NewDisposeScope();
        var pass = (CopyForward)forward;
        Tensor w = weights.detach().requires_grad_();
        if (!_isChecked) // in the warm-up: the check runs an extra backward pass
        {
            pass.RequireEveryParameter(w, network.ParameterNames);
            _isChecked = true;
        }

        Tensor[] ahead = optimiser.Lookahead(pass.GradientWithGraph(w), rate);
        Tensor value = objective.Compute(copy.Forward(meta.Images, ahead, NormStatistics.BatchAndUpdate), meta.Labels);
        autograd.backward([value], inputs: [w, .. pass.Leaves]);
        return new MetaGradient(w.grad!.MoveToOuterDisposeScope(), value.detach().MoveToOuterDisposeScope());
    }

    /// <summary>The pass through the copy; the real update's own pass through the network is made when its gradient is requested.</summary>
    private sealed class CopyForward : IForward
    {
        private readonly Lazy<IForward> _real;
        private readonly Tensor _losses;

        public CopyForward(
            MultiExitNetwork network, MultiExitNetwork copy, TrainingLoss loss, LabelledImages train, Func<IForward> real)
        {
            _real = new Lazy<IForward>(real);
            Leaves = [.. network.Parameters.Select(parameter => parameter.detach().clone().requires_grad_())];
            Tensor[] logits = copy.Forward(train.Images, Leaves, NormStatistics.BatchAndUpdate);
            (Tensor crossEntropies, _losses) = loss.PerSample(logits, train.Labels, logits[^1].detach());
            Logits = [.. logits.Select(z => z.detach())];
            CrossEntropies = crossEntropies.detach();
            Losses = _losses.detach();
        }

        public Tensor[] Leaves { get; }

        public IReadOnlyList<Tensor> Logits { get; }

        public Tensor CrossEntropies { get; }

        public Tensor Losses { get; }

        public IReadOnlyList<Tensor?> Gradient(Tensor cotangent) => _real.Value.Gradient(cotangent);

        /// <summary>TorchSharp's <c>autograd.grad</c> aborts the process if a parameter is not used.</summary>
        /// <exception cref="UsageException">One is not.</exception>
        public void RequireEveryParameter(Tensor w, IReadOnlyList<string> names)
        {
            IReadOnlyList<Tensor?> gradients = Autograd.Gradients("the training loss", [Loss(w)], null, Leaves, retainGraph: true);
            if (gradients.Index().FirstOrDefault(entry => entry.Item is null, (-1, null)).Index is >= 0 and var unused)
            {
                throw new UsageException(
                    $"--published measures networks whose parameters are all used, but no exit depends on {names[unused]}; "
                        + "leave out --published");
            }
        }

        /// <summary>
        /// ∇_θ mean_i Σ_k w_ik l_ik with a graph. Computed by TorchSharp's own function: every parameter is used, so it cannot fail, and
        /// <see cref="Autograd"/> would run an extra backward pass to make sure.
        /// </summary>
        public Tensor[] GradientWithGraph(Tensor w) => [.. autograd.grad([Loss(w)], Leaves, retain_graph: true, create_graph: true)];

        private Tensor Loss(Tensor w) => _losses.mul(w).mean([0]).sum();
    }
}

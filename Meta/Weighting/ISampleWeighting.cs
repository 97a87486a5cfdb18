using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Meta.Gradients;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Meta.Weighting;

/// <summary>
/// Weights training samples at exits: w = w(φ; Θ), from features φ of the samples in a forward pass. A weighting owns its networks, their
/// optimisers and its settings. The default members are those of a weighting without parameters, which does not learn.
/// </summary>
/// <remarks>Shapes: <c>N</c> training samples of a half batch, <c>K</c> exits.</remarks>
public interface ISampleWeighting : IStateful, IDisposable
{
    /// <summary>What distinguishes a run with it, such as <c>learned sample weights</c>.</summary>
    string Description { get; }

    /// <summary>Whether a batch is cut into halves, each the other's meta data, as <see cref="WeightingMethod.CutsBatch"/> says.</summary>
    bool CutsBatch { get; }

    /// <summary>Θ; none by default.</summary>
    IReadOnlyList<Parameter> Parameters => [];

    /// <summary>Whether it learns from the batch with this index in its epoch, from 0; by default never.</summary>
    bool Learns(int batch) => false;

    /// <summary>φ, without history: what the weights of a half batch are computed from, before and after the weighting learns.</summary>
    /// <param name="forward">The pass at θ over the half batch.</param>
    Tensor Features(IForward forward);

    /// <summary>w <c>[N, K]</c>, with the autograd history back to Θ.</summary>
    /// <param name="features">φ, from <see cref="Features"/>.</param>
    Tensor Weights(Tensor features);

    /// <summary>
    /// ∂L/∂Θ = ∂L/∂w · ∂w/∂Θ of this process, one tensor for each of <see cref="Parameters"/>, of its shape; null: w does not depend on it.
    /// By default through the autograd history of w. Called for batches for which <see cref="Learns"/> is true.
    /// </summary>
    /// <param name="weights">w <c>[N, K]</c> with its history, from <see cref="Weights"/>.</param>
    /// <param name="byWeights">∂L/∂w <c>[N, K]</c>.</param>
    IReadOnlyList<Tensor?> Gradient(Tensor weights, Tensor byWeights)
        => Autograd.Gradients("the sample weights", [weights], [byWeights], Parameters);

    /// <summary>Updates Θ.</summary>
    /// <param name="gradient"><see cref="Gradient"/>, averaged over the processes that train together.</param>
    /// <param name="rate">The learning rate of Θ.</param>
    /// <exception cref="InvalidOperationException">The weighting does not learn (the default).</exception>
    void Update(IReadOnlyList<Tensor?> gradient, double rate) => throw new InvalidOperationException($"{Description}: nothing is learned.");

    /// <inheritdoc/>
    StateTree IStateful.State => new();

    /// <inheritdoc/>
    void IStateful.LoadState(StateTree state)
    {
    }

    /// <inheritdoc/>
    void IDisposable.Dispose() => GC.SuppressFinalize(this);
}

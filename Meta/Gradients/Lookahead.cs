using System.Diagnostics;
using Imta.MetaWeight.Meta.Optimisers;

namespace Imta.MetaWeight.Meta.Gradients;

/// <summary>
/// The virtual step from θ to θ′ by the backbone optimiser's own rule, which changes neither network nor optimiser. With several processes,
/// each steps by its own gradient, or all by their mean (<see cref="LookaheadScope"/>).
/// </summary>
/// <param name="optimiser">The optimiser of θ.</param>
/// <param name="averaging">Averages gradients over processes (<see cref="LookaheadScope.Global"/>); null: each steps by its own.</param>
public sealed class Lookahead(Sgd optimiser, Averaging? averaging = null)
{
    /// <summary>One step.</summary>
    /// <param name="gradients">G, one for each parameter, with or without history; null: no gradient.</param>
    /// <param name="samples">Number of samples that G is a mean over.</param>
    /// <param name="rate">The backbone's learning rate.</param>
    public VirtualStep Along(IReadOnlyList<Tensor?> gradients, long samples, double rate)
    {
        IReadOnlyList<Tensor?> shared = averaging is null ? gradients : Mean(gradients, samples);
        using Activity? phase = StepPhases.Start(StepPhases.Lookahead);
        return new VirtualStep(optimiser, averaging, shared, rate);
    }

    /// <summary>
    /// The means, with the autograd history of this process's own gradient. Its share in the mean is left out of the history: the mean over
    /// the processes' gradients of Θ applies it later.
    /// </summary>
    private IReadOnlyList<Tensor?> Mean(IReadOnlyList<Tensor?> gradients, long samples)
    {
        IReadOnlyList<Tensor?> means = averaging.Mean([.. gradients.Select(gradient => gradient?.detach())], samples);
        return [.. gradients.Zip(means, (own, mean) => own is { requires_grad: true } ? own.add(mean! - own.detach(), One) : mean)];
    }
}

/// <summary>A step of <see cref="Lookahead"/>, whose tensors belong to the dispose scope in which it was made.</summary>
public sealed class VirtualStep
{
    private readonly Sgd _optimiser;
    private readonly Averaging? _averaging;
    private readonly double _rate;

    internal VirtualStep(Sgd optimiser, Averaging? averaging, IReadOnlyList<Tensor?> gradients, double rate)
    {
        (_optimiser, _averaging, _rate, Gradients) = (optimiser, averaging, rate, gradients);
        Parameters = optimiser.Lookahead(gradients, rate);
    }

    /// <summary>G, or its mean over processes, one for each parameter; null: no gradient.</summary>
    public IReadOnlyList<Tensor?> Gradients { get; }

    /// <summary>θ′, one for each parameter; with the history of G.</summary>
    public Tensor[] Parameters { get; }

    /// <summary>
    /// ∂L/∂θ′ of the mean meta objective over the processes that share the step; if the step is this process's own, of its objective.
    /// </summary>
    /// <param name="v">∂L/∂θ′ of this process, one for each parameter; null: L does not depend on it.</param>
    /// <param name="samples">Number of meta samples of this process.</param>
    public IReadOnlyList<Tensor?> Shared(IReadOnlyList<Tensor?> v, long samples) => _averaging.Mean(v, samples);

    /// <summary>u with ⟨∂L/∂θ′, dθ′⟩ = −⟨u, dG⟩ (<see cref="Sgd.LookaheadDirection"/>), one for each parameter; null: it is 0.</summary>
    /// <param name="v">As for <see cref="Shared"/>; may be overwritten.</param>
    /// <param name="samples">As for <see cref="Shared"/>.</param>
    public Tensor?[] Direction(IReadOnlyList<Tensor?> v, long samples)
        => _optimiser.LookaheadDirection(Gradients, Shared(v, samples), _rate);
}

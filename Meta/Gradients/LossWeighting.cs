using Imta.MetaWeight.Backbones;

namespace Imta.MetaWeight.Meta.Gradients;

/// <summary>
/// Σ_k v_k g_k, whose weights v follow from the exits' losses l_k = mean_i w_ik l_ik and from state kept from earlier steps: the gradient
/// of Σ_k v_k l_k with v held constant, by one backward pass. l is the mean over processes, so that all have the same weights.
/// </summary>
/// <remarks>Shapes: <c>N</c> samples, <c>K</c> exits. Losses, weights and state are float64 <c>[K]</c>, on the network's device.</remarks>
public abstract class LossWeighting : IGradientCombination
{
    // Methods divide by losses, and an exit to which no sample is allocated has the loss 0.
    private const double LeastLoss = 1e-12;

    private readonly StateTree _state = new();

    /// <inheritdoc/>
    public bool IsLinear => false;

    /// <inheritdoc/>
    public StateTree State => new() { Groups = { [IGradientCombination.StateGroup] = new StateTree(_state.Tensors) } };

    /// <inheritdoc/>
    public IReadOnlyList<Tensor?> Combine(IForward forward, Tensor cotangent, Averaging? averaging = null)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        Tensor own = forward.Losses.mul(cotangent).sum([0]).to_type(float64);
        Tensor losses = averaging.Mean([own], cotangent.size(0))[0]!.clamp(min: Held(LeastLoss));
        MoveState(losses);
        return [.. Direction(forward, cotangent, losses, averaging).Select(part => part?.MoveToOuterDisposeScope())];
    }

    /// <summary>v of this step; called once per step, as it may update the state.</summary>
    /// <param name="losses">l, positive.</param>
    public abstract Tensor Weights(Tensor losses);

    /// <inheritdoc/>
    public virtual void EndEpoch()
    {
    }

    /// <inheritdoc/>
    public void LoadState(StateTree state)
    {
        StateTree saved = state.Group(IGradientCombination.StateGroup);
        Dispose();
        foreach ((string name, Tensor value) in saved.Tensors)
        {
            Keep(name, value);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (string name in _state.Tensors.Keys.ToArray())
        {
            Keep(name, null);
        }

        GC.SuppressFinalize(this);
    }

    /// <summary>Σ_k v_k g_k.</summary>
    /// <param name="forward">The pass at θ.</param>
    /// <param name="cotangent">w/N <c>[N, K]</c>.</param>
    /// <param name="losses">l.</param>
    /// <param name="averaging">Averages over processes whatever else v depends on; null: single-process training.</param>
    protected virtual IReadOnlyList<Tensor?> Direction(IForward forward, Tensor cotangent, Tensor losses, Averaging? averaging)
        => forward.Gradient(cotangent.mul(Weights(losses).to_type(cotangent.dtype))); // [N, K] · [K]

    /// <summary>The value that an earlier step stored under this name; null: none.</summary>
    /// <param name="name">A part of the state.</param>
    protected Tensor? Kept(string name) => _state.Tensors.GetValueOrDefault(name);

    /// <summary>Stores a copy for later steps, and disposes the previous value under this name; null: stores nothing.</summary>
    /// <param name="name">A part of the state.</param>
    /// <param name="value">What to copy.</param>
    protected void Keep(string name, Tensor? value)
    {
        Tensor? before = Kept(name), copy = value?.clone().DetachFromDisposeScope();
        _state.Tensors.Remove(name);
        before?.Dispose();
        if (copy is not null)
        {
            _state.Tensors.Add(name, copy);
        }
    }

    /// <summary>Moves the state to the losses' device: from a file, it is on the CPU.</summary>
    private void MoveState(Tensor like)
    {
        foreach ((string name, Tensor kept) in _state.Tensors.Where(entry => entry.Value.device_type != like.device_type).ToArray())
        {
            Keep(name, kept.to(like.device));
        }
    }
}

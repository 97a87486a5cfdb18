using Imta.MetaWeight.Backbones;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Meta.Optimisers;

/// <summary>
/// SGD with momentum, dampening, Nesterov momentum and weight decay, as in PyTorch. The step is a pure function of parameters, gradients
/// and buffers, so the lookahead is this optimiser's own step without side effects.
/// </summary>
public sealed class Sgd : IStateful, IDisposable
{
    private const string Momentum = "momentum_buffer";

    private readonly TrainOptions _options;
    private readonly (string Name, Parameter Parameter)[] _parameters;
    private readonly Tensor?[] _buffers;

    /// <summary>An optimiser with fresh state: no parameter has a momentum buffer yet.</summary>
    /// <param name="parameters">A network's parameters by name; θ are those that are trained (<c>requires_grad</c>).</param>
    /// <param name="options">Momentum, dampening, Nesterov, weight decay; the learning rate is passed to each step.</param>
    /// <exception cref="ArgumentException">Nesterov without momentum, or with dampening.</exception>
    public Sgd(IEnumerable<(string Name, Parameter Parameter)> parameters, TrainOptions options)
    {
        if (options.Nesterov && (options.Momentum == 0 || options.Dampening != 0))
        {
            string given = FormattableString.Invariant($"{options.Momentum} and {options.Dampening}");
            throw new ArgumentException($"Nesterov needs momentum > 0 and dampening 0; they are {given}.", nameof(options));
        }

        _parameters = [.. parameters.Where(entry => entry.Parameter.requires_grad)];
        _options = options;
        _buffers = new Tensor?[_parameters.Length];
    }

    /// <summary>Momentum buffers, one for each parameter; null where it has had no gradient yet.</summary>
    public IReadOnlyList<Tensor?> Buffers => _buffers;

    /// <summary>The momentum buffers by the names of their parameters; parameters without one are skipped.</summary>
    public StateTree State => new()
    {
        Groups =
        {
            [Momentum] = new StateTree(_parameters.Zip(_buffers)
                .Where(entry => entry.Second is not null)
                .Select(entry => KeyValuePair.Create(entry.First.Name, entry.Second!))),
        },
    };

    /// <summary>θ′ = θ − rate · step(θ, G): the lookahead. Differentiable in G; neither θ nor this optimiser changes.</summary>
    /// <param name="gradients">G, one for each parameter; null: no gradient, and the parameter is unchanged (weight decay is skipped
    /// too).</param>
    /// <param name="rate">The learning rate.</param>
    /// <returns>One tensor per parameter.</returns>
    public Tensor[] Lookahead(IReadOnlyList<Tensor?> gradients, double rate)
    {
        var ahead = new Tensor[_parameters.Length];
        for (int p = 0; p < ahead.Length; p++)
        {
            Tensor parameter = _parameters[p].Parameter.detach();
            ahead[p] = gradients[p] is { } gradient
                ? parameter.sub(Step(parameter, gradient, Velocity(parameter, gradient, p)).mul(Held(rate)))
                : parameter;
        }

        return ahead;
    }

    /// <summary>
    /// u with ⟨v, dθ′⟩ = −⟨u, dG⟩: the lookahead is affine in G, parameter by parameter, ∂θ′_p/∂G_p = −rate · c_p, and
    /// u_p = rate · c_p · v_p. Here c is 1 without a momentum buffer, 1 − dampening with one, and 1 + momentum with Nesterov.
    /// </summary>
    /// <param name="gradients">G, one per parameter; null: no gradient.</param>
    /// <param name="v">∂L/∂θ′, one per parameter; null: L does not depend on it. Overwritten.</param>
    /// <param name="rate">The learning rate.</param>
    public Tensor?[] LookaheadDirection(IReadOnlyList<Tensor?> gradients, IReadOnlyList<Tensor?> v, double rate)
        => [.. v.Select((part, p) => gradients[p] is null ? null : part?.mul_(Held(rate * Slope(p))))];

    /// <summary>Updates θ and the momentum buffers.</summary>
    /// <param name="gradients">One for each parameter; null: no gradient, and the parameter is unchanged.</param>
    /// <param name="rate">The learning rate.</param>
    public void Apply(IReadOnlyList<Tensor?> gradients, double rate)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        for (int p = 0; p < _parameters.Length; p++)
        {
            if (gradients[p] is not { } gradient)
            {
                continue;
            }

            Parameter parameter = _parameters[p].Parameter;
            Tensor velocity = Velocity(parameter, gradient, p);
            parameter.add_(Step(parameter, gradient, velocity), Held(-rate));
            StoreMomentum(p, velocity);
        }
    }

    /// <inheritdoc/>
    public void LoadState(StateTree state)
    {
        StateTree saved = state.Group(Momentum);
        for (int p = 0; p < _buffers.Length; p++)
        {
            _buffers[p]?.Dispose();
            (string name, Parameter parameter) = _parameters[p];
            _buffers[p] = saved.Tensors.GetValueOrDefault(name)?.to(parameter.device, copy: true).DetachFromDisposeScope();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Tensor? buffer in _buffers)
        {
            buffer?.Dispose();
        }
    }

    private double Slope(int p)
    {
        if (_options.Nesterov)
        {
            return 1 + _options.Momentum;
        }

        return _options.Momentum != 0 && _buffers[p] is not null ? 1 - _options.Dampening : 1;
    }

    private Tensor Decayed(Tensor parameter, Tensor gradient)
        => _options.WeightDecay == 0 ? gradient : gradient.add(parameter, Held(_options.WeightDecay));

    /// <summary>The new momentum buffer: at the first step the gradient with weight decay, without dampening.</summary>
    private Tensor Velocity(Tensor parameter, Tensor gradient, int p)
    {
        Tensor decayed = Decayed(parameter, gradient);
        return _options.Momentum != 0 && _buffers[p] is { } buffer
            ? buffer.mul(Held(_options.Momentum)).add(decayed, Held(1 - _options.Dampening))
            : decayed;
    }

    private Tensor Step(Tensor parameter, Tensor gradient, Tensor velocity)
        => _options.Nesterov ? Decayed(parameter, gradient).add(velocity, Held(_options.Momentum)) : velocity;

    private void StoreMomentum(int p, Tensor velocity)
    {
        if (_options.Momentum == 0)
        {
            return;
        }

        if (_buffers[p] is { } buffer)
        {
            buffer.copy_(velocity);
        }
        else
        {
            _buffers[p] = velocity.clone().DetachFromDisposeScope();
        }
    }
}

using Imta.MetaWeight.Backbones;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Meta.Optimisers;

/// <summary>Adam (Kingma and Ba, ICLR 2015) with L2 decay added to the gradient, as in PyTorch: for Θ and for Meta-GF's weights.</summary>
public sealed class Adam : IStateful, IDisposable
{
    /// <summary>Decay of the running mean of the gradient.</summary>
    public const double Beta1 = 0.9;

    /// <summary>Decay of the running mean of the squared gradient.</summary>
    public const double Beta2 = 0.999;

    /// <summary>Added to the root of the mean squared gradient.</summary>
    public const double Epsilon = 1e-8;

    private const string Step = "step", Mean = "exp_avg", Square = "exp_avg_sq";

    private readonly (string Name, Parameter Parameter)[] _parameters;
    private readonly double _weightDecay;
    private readonly Tensor[] _means;
    private readonly Tensor[] _squares;

    /// <summary>An optimiser with fresh state: both moments are 0.</summary>
    /// <param name="parameters">What it trains, by name.</param>
    /// <param name="weightDecay">L2 decay.</param>
    public Adam(IEnumerable<(string Name, Parameter Parameter)> parameters, double weightDecay)
    {
        _parameters = [.. parameters];
        _weightDecay = weightDecay;
        _means = [.. _parameters.Select(entry => zeros_like(entry.Parameter).DetachFromDisposeScope())];
        _squares = [.. _parameters.Select(entry => zeros_like(entry.Parameter).DetachFromDisposeScope())];
    }

    /// <summary>Steps taken so far.</summary>
    public long Steps { get; private set; }

    /// <summary>Running means of the gradient, one for each parameter.</summary>
    public IReadOnlyList<Tensor> Means => _means;

    /// <summary>Running means of the squared gradient, one for each parameter.</summary>
    public IReadOnlyList<Tensor> Squares => _squares;

    /// <summary>The number of steps, and both moments by the names of their parameters.</summary>
    public StateTree State => new() { Numbers = { [Step] = Steps }, Groups = { [Mean] = Named(_means), [Square] = Named(_squares) } };

    /// <summary>Updates the parameters and the moments.</summary>
    /// <param name="gradients">One per parameter.</param>
    /// <param name="rate">The learning rate.</param>
    public void Apply(IReadOnlyList<Tensor> gradients, double rate)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        Steps++;
        double correction1 = 1 - Math.Pow(Beta1, Steps);
        double correction2 = 1 - Math.Pow(Beta2, Steps);
        for (int p = 0; p < _parameters.Length; p++)
        {
            Tensor gradient = gradients[p].add(_parameters[p].Parameter, Held(_weightDecay));
            _means[p].mul_(Held(Beta1)).add_(gradient, Held(1 - Beta1));
            _squares[p].mul_(Held(Beta2)).addcmul_(gradient, gradient, Held(1 - Beta2));
            Tensor deviation = _squares[p].sqrt().div(Held(Math.Sqrt(correction2))).add_(Held(Epsilon), One);
            _parameters[p].Parameter.addcdiv_(_means[p], deviation, Held(-rate / correction1));
        }
    }

    /// <inheritdoc/>
    public void LoadState(StateTree state)
    {
        (StateTree means, StateTree squares) = (state.Group(Mean), state.Group(Square));
        (Tensor Mean, Tensor Square)[] saved = [.. _parameters.Select(entry => (means.Tensor(entry.Name), squares.Tensor(entry.Name)))];
        Steps = state.WholeNumber(Step);
        for (int p = 0; p < _means.Length; p++)
        {
            _means[p].copy_(saved[p].Mean);
            _squares[p].copy_(saved[p].Square);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Tensor moment in _means.Concat(_squares))
        {
            moment.Dispose();
        }
    }

    private StateTree Named(Tensor[] moments) => new(_parameters.Zip(moments, (entry, moment) => KeyValuePair.Create(entry.Name, moment)));
}

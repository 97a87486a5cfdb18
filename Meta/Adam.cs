using TorchSharp.Modules;

namespace Imta.MetaWeight.Meta;

/// <summary>Adam (Kingma and Ba, ICLR 2015) with L2 decay added to the gradient, by PyTorch's rule, for Θ.</summary>
public sealed class Adam : IDisposable
{
    /// <summary>Decay of the running mean of the gradient.</summary>
    public const double Beta1 = 0.9;

    /// <summary>Decay of the running mean of the squared gradient.</summary>
    public const double Beta2 = 0.999;

    /// <summary>Added to the root of the squared gradient's mean.</summary>
    public const double Epsilon = 1e-8;

    private readonly IReadOnlyList<Parameter> _parameters;
    private readonly double _weightDecay;
    private readonly Tensor[] _means;
    private readonly Tensor[] _squares;

    /// <summary>An optimiser without state: both moments are 0.</summary>
    /// <param name="parameters">Θ.</param>
    /// <param name="weightDecay">L2 decay.</param>
    public Adam(IReadOnlyList<Parameter> parameters, double weightDecay)
    {
        _parameters = parameters;
        _weightDecay = weightDecay;
        _means = [.. parameters.Select(parameter => zeros_like(parameter).DetachFromDisposeScope())];
        _squares = [.. parameters.Select(parameter => zeros_like(parameter).DetachFromDisposeScope())];
    }

    /// <summary>Steps done.</summary>
    public long Steps { get; private set; }

    /// <summary>Running means of the gradient, one for each parameter. To save.</summary>
    public IReadOnlyList<Tensor> Means => _means;

    /// <summary>Running means of the squared gradient, one for each parameter. To save.</summary>
    public IReadOnlyList<Tensor> Squares => _squares;

    /// <summary>Updates Θ and the moments.</summary>
    /// <param name="gradients">One for each parameter.</param>
    /// <param name="rate">The learning rate.</param>
    public void Apply(IReadOnlyList<Tensor> gradients, double rate)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        Steps++;
        double correction1 = 1 - Math.Pow(Beta1, Steps);
        double correction2 = 1 - Math.Pow(Beta2, Steps);
        for (int p = 0; p < _parameters.Count; p++)
        {
            Tensor gradient = gradients[p].add(_parameters[p], _weightDecay);
            _means[p].mul_(Beta1).add_(gradient, 1 - Beta1);
            _squares[p].mul_(Beta2).addcmul_(gradient, gradient, 1 - Beta2);
            Tensor deviation = _squares[p].sqrt().div(Math.Sqrt(correction2)).add_(Epsilon);
            _parameters[p].addcdiv_(_means[p], deviation, -rate / correction1);
        }
    }

    /// <summary>Takes over the state of an earlier run.</summary>
    /// <exception cref="ArgumentException">Not one moment for each parameter.</exception>
    public void Restore(IReadOnlyList<Tensor> means, IReadOnlyList<Tensor> squares, long steps)
    {
        if (means.Count != _means.Length || squares.Count != _squares.Length)
        {
            throw new ArgumentException($"{means.Count} and {squares.Count} moments for {_means.Length} parameters.", nameof(means));
        }

        for (int p = 0; p < _means.Length; p++)
        {
            _means[p].copy_(means[p]);
            _squares[p].copy_(squares[p]);
        }

        Steps = steps;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Tensor moment in _means.Concat(_squares))
        {
            moment.Dispose();
        }
    }
}

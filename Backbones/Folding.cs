namespace Imta.MetaWeight.Backbones;

/// <summary>
/// Batch norm folded into the convolutions and linear layers before it, for passes that compute nothing but answers
/// (<see cref="Pass.Folding"/>). A layer's folded weight and bias are made when it is first used; they hold as long as the network's
/// parameters and running statistics stay what they are. Disposing it disposes them.
/// </summary>
public sealed class Folding : IDisposable
{
    private readonly Dictionary<NamedModule, (Tensor Weight, Tensor Bias)> _layers = [];

    /// <summary>The folded weight and bias of a layer, made when they are first asked for.</summary>
    /// <param name="layer">The layer.</param>
    /// <param name="fold">Makes them.</param>
    public (Tensor Weight, Tensor Bias) Of(NamedModule layer, Func<(Tensor Weight, Tensor Bias)> fold)
    {
        if (!_layers.TryGetValue(layer, out (Tensor Weight, Tensor Bias) folded))
        {
            using DisposeScope scope = NewDisposeScope();
            using IDisposable noGrad = no_grad();
            (Tensor weight, Tensor bias) = fold();
            _layers[layer] = folded = (scope.Detach(weight), scope.Detach(bias));
        }

        return folded;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach ((Tensor weight, Tensor bias) in _layers.Values)
        {
            weight.Dispose();
            bias.Dispose();
        }

        _layers.Clear();
    }
}

using Imta.MetaWeight.Backbones.Linearised;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Backbones;

/// <summary>By which statistics batch norm normalises in a forward pass, and whether it remembers them.</summary>
public enum NormStatistics
{
    /// <summary>By the running statistics: evaluation.</summary>
    Running,

    /// <summary>By the batch's own, the running statistics untouched: the lookahead's pass over meta data.</summary>
    Batch,

    /// <summary>By the batch's own, which move the running statistics: training.</summary>
    BatchAndUpdate,
}

/// <summary>
/// One forward pass: with which parameters, the network's own or others in their places, and how batch norm behaves. The network
/// itself is the same for every pass, so a lookahead copies nothing and swaps nothing.
/// </summary>
public sealed class Pass
{
    private readonly Folding? _folding;
    private readonly IReadOnlyDictionary<Parameter, int>? _indices;
    private readonly IReadOnlyList<Tensor>? _substitutes;

    /// <summary>A pass with the network's own parameters.</summary>
    public Pass(NormStatistics statistics) => Statistics = statistics;

    /// <summary>A pass with <paramref name="substitutes"/> in the places of the network's parameters.</summary>
    /// <param name="statistics">How batch norm behaves.</param>
    /// <param name="indices">The place of each parameter of the network.</param>
    /// <param name="substitutes">A tensor for each place, of the parameter's shape.</param>
    public Pass(NormStatistics statistics, IReadOnlyDictionary<Parameter, int> indices, IReadOnlyList<Tensor> substitutes)
    {
        Statistics = statistics;
        _indices = indices;
        _substitutes = substitutes;
    }

    /// <summary>How batch norm behaves.</summary>
    public NormStatistics Statistics { get; }

    /// <summary>Where layers add their costs; null where nothing is counted.</summary>
    public CostMeter? Cost { get; init; }

    /// <summary>
    /// The logits <c>[N, C]</c> that distillation imitates, left here by a network whose teacher is another than its own last exit; null:
    /// it is that exit. Without history.
    /// </summary>
    public Tensor? Teacher { get; set; }

    /// <summary>Where layers add their linear maps; null where nothing is recorded.</summary>
    public Tape? Tape { get; init; }

    /// <summary>
    /// Batch norm folded into the layers before it, for inference with the network's own parameters; null: it is computed.
    /// </summary>
    /// <exception cref="InvalidOperationException">
    /// Set where batch norm does not normalise by the running statistics, or parameters are substituted.
    /// </exception>
    public Folding? Folding
    {
        get => _folding;
        init => _folding = value is null || (Statistics == NormStatistics.Running && _substitutes is null)
            ? value
            : throw new InvalidOperationException("batch norm folds into a network's own parameters, by the running statistics only.");
    }

    /// <summary>The tensor that stands for <paramref name="parameter"/> in this pass.</summary>
    /// <exception cref="InvalidOperationException">
    /// It is no parameter of the network that is trained, and others stand in for these.
    /// </exception>
    public Tensor this[Parameter parameter] => _substitutes is null ? parameter
        : _indices!.TryGetValue(parameter, out int index) ? _substitutes[index]
        : throw new InvalidOperationException(
            $"a layer uses a parameter of shape [{string.Join(", ", parameter.shape)}] that the network does not "
            + "train: register it (register_parameter), with requires_grad.");
}

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
    public (Tensor Weight, Tensor Bias) For(NamedModule layer, Func<(Tensor Weight, Tensor Bias)> fold)
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

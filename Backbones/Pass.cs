using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Backbones.Linearised;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Backbones;

/// <summary>Which statistics batch norm uses in a forward pass, and whether it updates the running ones.</summary>
public enum NormStatistics
{
    /// <summary>The running statistics: evaluation.</summary>
    Running,

    /// <summary>Batch statistics without updating the running ones: the lookahead's pass over meta data.</summary>
    Batch,

    /// <summary>Batch statistics, which update the running ones: training.</summary>
    BatchAndUpdate,
}

/// <summary>
/// One forward pass: which parameters it uses, the network's own or substitutes, and how batch norm behaves. The network
/// itself is not modified, so a lookahead neither copies nor swaps parameters.
/// </summary>
public sealed class Pass
{
    private readonly BatchNormFolding? _folding;
    private readonly IReadOnlyDictionary<Parameter, int>? _indices;
    private readonly IReadOnlyList<Tensor>? _substitutes;

    /// <summary>A pass with the network's own parameters.</summary>
    public Pass(NormStatistics statistics) => Statistics = statistics;

    /// <summary>A pass with <paramref name="substitutes"/> in place of the network's parameters.</summary>
    /// <param name="statistics">How batch norm behaves.</param>
    /// <param name="indices">The index of each parameter of the network.</param>
    /// <param name="substitutes">A tensor per index, of the parameter's shape.</param>
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
    /// The detached logits <c>[N, C]</c> that distillation imitates, set by a network whose teacher is not its own last exit; null: the
    /// teacher is the last exit.
    /// </summary>
    public Tensor? Teacher { get; set; }

    /// <summary>Where layers add their linear maps; null where nothing is recorded.</summary>
    public Tape? Tape { get; init; }

    /// <summary>
    /// Batch norm folded into the layers before it, for inference with the network's own parameters; null: not folded.
    /// </summary>
    /// <exception cref="InvalidOperationException">
    /// Set on a pass that does not use the running statistics, or that substitutes parameters.
    /// </exception>
    public BatchNormFolding? Folding
    {
        get => _folding;
        init => _folding = value is null || (Statistics == NormStatistics.Running && _substitutes is null)
            ? value
            : throw new InvalidOperationException(
                "batch norm can only be folded into a network's own parameters, using the running statistics.");
    }

    /// <summary>The tensor used for <paramref name="parameter"/> in this pass.</summary>
    /// <exception cref="InvalidOperationException">
    /// Substitutes are used, and it is not a trainable parameter of the network.
    /// </exception>
    public Tensor this[Parameter parameter] => _substitutes is null ? parameter
        : _indices!.TryGetValue(parameter, out int index) ? _substitutes[index]
        : throw new InvalidOperationException(
            $"a layer uses a parameter of shape {ShapeText(parameter)} that the network does not "
            + "train: register it (register_parameter), with requires_grad.");
}

/// <summary>
/// Batch norm folded into the convolutions and linear layers before it, for inference passes
/// (<see cref="Pass.Folding"/>). A layer's folded weight and bias are computed on first use; they are valid as long as the network's
/// parameters and running statistics do not change, and disposed with this object.
/// </summary>
public sealed class BatchNormFolding : IDisposable
{
    private readonly Dictionary<NamedModule, (Tensor Weight, Tensor Bias)> _layers = [];
    private readonly Dictionary<NamedModule, PackedWeights> _packed = [];

    /// <summary>The folded weight and bias of a layer, computed on first use.</summary>
    /// <param name="layer">The layer.</param>
    /// <param name="fold">Computes them.</param>
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

    /// <summary>Where a convolution's folded weight is kept in packed form.</summary>
    internal PackedWeights Packed(NamedModule layer)
    {
        if (!_packed.TryGetValue(layer, out PackedWeights? packed))
        {
            _packed[layer] = packed = new PackedWeights();
        }

        return packed;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach ((Tensor weight, Tensor bias) in _layers.Values)
        {
            weight.Dispose();
            bias.Dispose();
        }

        foreach (PackedWeights packed in _packed.Values)
        {
            packed.Dispose();
        }

        _layers.Clear();
        _packed.Clear();
    }
}

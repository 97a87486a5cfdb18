using Imta.MetaWeight.Backbones.Layers;

namespace Imta.MetaWeight.Backbones.Exits;

/// <summary>t of Inline Subnetwork Collaboration: from the logits of an exit to relu(batch norm(linear layer)) for the next one.</summary>
internal sealed class TransferLayer : NamedModule
{
    private readonly Linear _linear;
    private readonly BatchNorm _norm;
    private readonly NormReluUnit _unit;

    /// <param name="factory">Starts the parameters.</param>
    /// <param name="classes">C.</param>
    /// <param name="width">Numbers of the next exit's pooled feature, and of the output.</param>
    public TransferLayer(LayerFactory factory, int classes, long width)
        : base(nameof(TransferLayer))
    {
        Width = width;
        _linear = new Linear(factory, classes, width);
        _norm = new BatchNorm(factory, width);
        _unit = new NormReluUnit(_norm);
        register_module("0", _linear);
        register_module("1", _norm);
    }

    /// <summary>Numbers of the output.</summary>
    public long Width { get; }

    /// <summary>The output <c>[N, Width]</c>, written to <paramref name="place"/> on a tape where it is given.</summary>
    public Tensor Forward(Tensor logits, Pass pass, Tensor? place) => pass.Folding is { } folding
        ? _linear.ForwardFolded(logits, _norm, folding).relu_()
        : _unit.Forward(_linear.Forward(logits, pass), pass, place);
}

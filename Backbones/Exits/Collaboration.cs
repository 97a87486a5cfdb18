using System.ComponentModel;
using Imta.MetaWeight.Backbones.Layers;

namespace Imta.MetaWeight.Backbones.Exits;

/// <summary>How an exit uses the previous exit's logits.</summary>
public enum Transfer
{
    /// <summary>relu(batch norm(linear layer)) of them, concatenated to its own pooled features.</summary>
    Fc,

    /// <summary>They are added to its own logits: without parameters (the paper's learning-free transfer).</summary>
    Identity,
}

/// <summary>Whether an exit's loss is backpropagated into the exits whose logits it reads.</summary>
public enum TransferGradient
{
    /// <summary>No: the logits are treated as constants (the paper).</summary>
    Stop,

    /// <summary>Yes (the published code).</summary>
    Flow,
}

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>Inline Subnetwork Collaboration (IMTA, section 3.2): each exit reads the previous exit's prediction.</summary>
public sealed record CollaborationOptions
{
    [Description(
        "Inline Subnetwork Collaboration: each exit but the first reads the logits of the one before; with two phases, in phase II "
        + "only")]
    public bool Enabled { get; init; }

    [Description("Transfer of the previous logits: through a small layer, concatenated to the exit's features (fc), or added to its "
        + "logits (identity)")]
    public Transfer Transfer { get; init; } = Transfer.Fc;

    [Description(
        "Whether an exit's loss is backpropagated into the previous exit through its logits: no (stop, the paper) or yes (flow, the "
        + "published code)")]
    public TransferGradient Gradient { get; init; } = TransferGradient.Stop;

    /// <summary>Whether gradients stop where an exit reads the previous one.</summary>
    internal bool Stops => Enabled && Gradient == TransferGradient.Stop;
}

#pragma warning restore CS1591

/// <summary>
/// Inline Subnetwork Collaboration (IMTA, section 3.2): the linear layer of exit k + 1 reads [its pooled feature, t(logits of exit k)], or
/// the logits are added to its own. Without collaboration, an exit reads only its pooled feature.
/// </summary>
internal sealed class Collaboration
{
    private readonly CollaborationOptions _options;
    private readonly TransferLayer[] _transfers; // t, from each exit except the last to the next

    /// <param name="options">The options.</param>
    /// <param name="widths">The width of each exit's pooled feature, K values.</param>
    /// <param name="classes">The number of classes C.</param>
    /// <param name="factory">Creates the parameters.</param>
    public Collaboration(CollaborationOptions options, IEnumerable<long> widths, int classes, LayerFactory factory)
    {
        _options = options;
        _transfers = options is { Enabled: true, Transfer: Transfer.Fc }
            ? [.. widths.Skip(1).Select(width => new TransferLayer(factory, classes, width))]
            : [];
    }

    /// <summary>Whether an exit's linear layer reads t(logits), of the same width, in addition to its pooled feature.</summary>
    /// <param name="options">The options.</param>
    /// <param name="k">0 … K − 1.</param>
    public static bool Widens(CollaborationOptions options, int k) => options is { Enabled: true, Transfer: Transfer.Fc } && k > 0;

    /// <summary>t's parameters under their published names; null if there are none.</summary>
    public Group? Modules => _transfers.Length > 0 ? new Group(_transfers) : null;

    /// <summary>Logits <c>[N, C]</c> of exit <paramref name="k"/>.</summary>
    /// <param name="k">0 … K − 1.</param>
    /// <param name="linear">The exit's linear layer.</param>
    /// <param name="pooled"><c>[N, width]</c>.</param>
    /// <param name="earlier">Logits <c>[N, C]</c> of the previous exit; null at the first.</param>
    /// <param name="pass">The pass.</param>
    public Tensor Classify(int k, Linear linear, Tensor pooled, Tensor? earlier, Pass pass)
    {
        if (!_options.Enabled || earlier is null)
        {
            return linear.Forward(pooled, pass);
        }

        Tensor read = _options.Gradient == TransferGradient.Stop ? Operators.StopGradient(earlier, pass) : earlier;
        if (_options.Transfer == Transfer.Identity)
        {
            return Operators.Add(linear.Forward(pooled, pass), read, pass);
        }

        TransferLayer transfer = _transfers[k - 1];
        return linear.Forward(
            Operators.Join(pooled, [new JoinedPart(transfer.Width, destination => transfer.Forward(read, pass, destination))], pass), pass);
    }
}

/// <summary>t of Inline Subnetwork Collaboration: from the logits of an exit to relu(batch norm(linear layer)) for the next one.</summary>
internal sealed class TransferLayer : NamedModule
{
    private readonly Linear _linear;
    private readonly BatchNorm _norm;
    private readonly NormReluUnit _unit;

    /// <param name="factory">Creates the parameters.</param>
    /// <param name="classes">The number of classes C.</param>
    /// <param name="width">The width of the next exit's pooled feature and of the output.</param>
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

    /// <summary>The width of the output.</summary>
    public long Width { get; }

    /// <summary>The output <c>[N, Width]</c>, written to <paramref name="destination"/> if it is given on a tape.</summary>
    public Tensor Forward(Tensor logits, Pass pass, Tensor? destination) => pass.Folding is { } folding
        ? _linear.ForwardFolded(logits, _norm, folding).relu_()
        : _unit.Forward(_linear.Forward(logits, pass), pass, destination);
}

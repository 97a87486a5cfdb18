using Imta.MetaWeight.Backbones.Layers;

namespace Imta.MetaWeight.Backbones.Exits;

/// <summary>
/// Inline Subnetwork Collaboration (IMTA, section 3.2): the linear layer of exit k + 1 reads [its pooled feature, t(logits of exit k)], or
/// the logits are added to its own. Without it, an exit reads its pooled feature.
/// </summary>
internal sealed class Collaboration
{
    private readonly CollaborationOptions _options;
    private readonly TransferLayer[] _transfers; // t, from each exit but the last to the next

    /// <param name="options">Whether, and how.</param>
    /// <param name="widths">Numbers of each exit's pooled feature, K.</param>
    /// <param name="classes">C.</param>
    /// <param name="factory">Starts the parameters.</param>
    public Collaboration(CollaborationOptions options, IEnumerable<long> widths, int classes, LayerFactory factory)
    {
        _options = options;
        _transfers = options is { Enabled: true, Transfer: Transfer.Fc } ? [.. widths.Skip(1).Select(width => new TransferLayer(factory, classes, width))] : [];
    }

    /// <summary>Whether an exit's linear layer reads t(logits) beside its pooled feature, as many numbers.</summary>
    /// <param name="options">Whether, and how.</param>
    /// <param name="k">0 … K − 1.</param>
    public static bool Widens(CollaborationOptions options, int k) => options is { Enabled: true, Transfer: Transfer.Fc } && k > 0;

    /// <summary>t's parameters under their published names; null where there are none.</summary>
    public Group? Modules => _transfers.Length > 0 ? new Group(_transfers) : null;

    /// <summary>Logits <c>[N, C]</c> of exit <paramref name="k"/>.</summary>
    /// <param name="k">0 … K − 1.</param>
    /// <param name="linear">The exit's linear layer.</param>
    /// <param name="pooled"><c>[N, width]</c>.</param>
    /// <param name="earlier">Logits <c>[N, C]</c> of the exit before; null at the first.</param>
    /// <param name="pass">The pass.</param>
    public Tensor Classify(int k, Linear linear, Tensor pooled, Tensor? earlier, Pass pass)
    {
        if (!_options.Enabled || earlier is null)
        {
            return linear.Forward(pooled, pass);
        }

        Tensor read = _options.Gradient == TransferGradient.Stop ? Operators.Stop(earlier, pass) : earlier;
        if (_options.Transfer == Transfer.Identity)
        {
            return Operators.Add(linear.Forward(pooled, pass), read, pass);
        }

        TransferLayer transfer = _transfers[k - 1];
        return linear.Forward(Operators.Join(pooled, [new JoinedPart(transfer.Width, place => transfer.Forward(read, pass, place))], pass), pass);
    }
}

using Imta.MetaWeight.Backbones.Layers;

namespace Imta.MetaWeight.Backbones.Exits;

/// <summary>How batch norm behaves in the frozen network of phase II during training.</summary>
public enum FrozenNorm
{
    /// <summary>It is frozen too: it uses the running statistics of phase I.</summary>
    Fixed,

    /// <summary>It uses batch statistics and updates its running statistics (the published code).</summary>
    Moving,
}

/// <summary>
/// The network of IMTA's phase II: the frozen network of phase I, with a new final linear layer at each exit and the modules of Inline
/// Subnetwork Collaboration; only these are trained. The teacher is phase I's last exit. Names are the published code's.
/// </summary>
public sealed class PhaseTwoNetwork : MultiExitNetwork
{
    private readonly ExitHeadNetwork _net;
    private readonly FrozenNorm _norm;
    private readonly Linear[] _linears;
    private readonly Collaboration _collaboration;
    private readonly bool _stops;

    /// <summary>Builds the network around that of phase I.</summary>
    /// <param name="net">The phase I network, without Inline Subnetwork Collaboration; it is frozen, and this network takes
    /// ownership.</param>
    /// <param name="collaboration">Inline Subnetwork Collaboration, or none.</param>
    /// <param name="norm">How the frozen network's batch norm behaves.</param>
    /// <param name="factory">Initialises the new parameters.</param>
    public PhaseTwoNetwork(ExitHeadNetwork net, CollaborationOptions collaboration, FrozenNorm norm, LayerFactory factory)
        : base(net.GetName())
    {
        (_net, _norm, _stops) = (net, norm, collaboration.Stops);
        foreach (Tensor parameter in net.parameters())
        {
            parameter.requires_grad = false;
        }

        _linears = [.. net.PooledWidths
            .Select((width, k) => new Linear(factory, Collaboration.Widens(collaboration, k) ? 2 * width : width, net.Classes))];
        _collaboration = new Collaboration(collaboration, net.PooledWidths, net.Classes, factory);
        register_module("net", net);
        register_module("classifier", new Group(_linears));
        if (_collaboration.Modules is { } transfers)
        {
            register_module("isc_modules", transfers);
        }
    }

    /// <inheritdoc/>
    public override int Exits => _net.Exits;

    /// <inheritdoc/>
    public override int Classes => _net.Classes;

    /// <inheritdoc/>
    public override bool IsLinearisable => _net.IsLinearisable;

    /// <inheritdoc/>
    public override bool HasTrueGradients => !_stops;

    /// <inheritdoc/>
    protected override Tensor[] Block(int k, Tensor[] features, Pass pass)
    {
        using IDisposable noGrad = no_grad();
        return _net.Features(k, features, FrozenPass(pass, pass.Cost));
    }

    /// <inheritdoc/>
    protected override Tensor Exit(int k, Tensor[] features, Tensor? earlier, Pass pass)
    {
        Tensor pooled = Pooled(k, features, pass);
        pass.Tape?.AddConstant(pooled);
        return _collaboration.Classify(k, _linears[k], pooled, earlier, pass);
    }

    private Tensor Pooled(int k, Tensor[] features, Pass pass)
    {
        using IDisposable noGrad = no_grad();
        Tensor pooled = _net.Pooled(k, features, FrozenPass(pass, pass.Cost));
        if (k == Exits - 1 && pass.Statistics != NormStatistics.Running)
        {
            pass.Teacher = _net.StandaloneLogits(k, pooled, FrozenPass(pass, cost: null)).MoveToOuterDisposeScope();
        }

        return pooled;
    }

    private Pass FrozenPass(Pass pass, CostMeter? cost)
        => new(_norm == FrozenNorm.Fixed ? NormStatistics.Running : pass.Statistics) { Cost = cost, Folding = pass.Folding };
}

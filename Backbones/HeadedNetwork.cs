using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Layers;

namespace Imta.MetaWeight.Backbones;

/// <summary>What MSDNet and RANet share: exits of one form, which read the last of a block's features, and IMTA's changes of the graph.</summary>
public abstract class HeadedNetwork : MultiExitNetwork
{
    private readonly ModifierOptions _modifiers;
    private readonly List<ExitHead> _heads = [];
    private Collaboration? _collaboration;

    private protected HeadedNetwork(string name, ModifierOptions modifiers, int classes)
        : base(name, modifiers.Ge) => (_modifiers, Classes) = (modifiers, classes);

    /// <inheritdoc/>
    public override int Exits => _heads.Count;

    /// <inheritdoc/>
    public override int Classes { get; }

    /// <inheritdoc/>
    public override bool IsLinearisable => true;

    /// <inheritdoc/>
    public override bool HasTrueGradients => base.HasTrueGradients && !_modifiers.Isc.Stops;

    /// <summary>The feature that the linear layer of each exit reads, K × <c>[N, width]</c>.</summary>
    /// <param name="images"><c>[N, 3, H, W]</c>, normalised.</param>
    /// <param name="pass">Parameters and batch norm.</param>
    public Tensor[] PooledFeatures(Tensor images, Pass pass)
    {
        var pooled = new Tensor[Exits];
        Tensor[] features = [images];
        for (int k = 0; k < pooled.Length; k++)
        {
            features = Block(k, features, pass);
            pooled[k] = Pooled(k, features, pass);
        }

        return pooled;
    }

    /// <summary>Numbers of each exit's pooled feature, K.</summary>
    internal IReadOnlyList<long> PooledWidths => [.. _heads.Select(head => head.Width)];

    /// <summary>The features behind block <paramref name="k"/>, for a network around this one.</summary>
    internal Tensor[] Features(int k, Tensor[] features, Pass pass) => Block(k, features, pass);

    /// <summary>The feature <c>[N, width]</c> that the linear layer of exit <paramref name="k"/> reads.</summary>
    internal Tensor Pooled(int k, Tensor[] features, Pass pass) => _heads[k].Pooled(features[^1], pass);

    /// <summary>What the linear layer of exit <paramref name="k"/> makes of its pooled feature alone.</summary>
    internal Tensor OwnLogits(int k, Tensor pooled, Pass pass) => _heads[k].Linear.Forward(pooled, pass);

    /// <inheritdoc/>
    protected override Tensor Exit(int k, Tensor[] features, Tensor? earlier, Pass pass)
        => _collaboration!.Classify(k, _heads[k].Linear, Pooled(k, features, pass), earlier, pass);

    /// <summary>Makes the next exit.</summary>
    /// <param name="factory">Starts its parameters.</param>
    /// <param name="images">What the network is for.</param>
    /// <param name="channels">Channels of the feature that it reads.</param>
    private protected void AddExit(LayerFactory factory, ImageKind images, long channels)
        => _heads.Add(new ExitHead(factory, images, channels, Classes, Collaboration.Widens(_modifiers.Isc, _heads.Count)));

    /// <summary>Registers the exits; the derived class calls it once, in the place that they have among its parts.</summary>
    private protected void RegisterExits(LayerFactory factory)
    {
        _collaboration = new Collaboration(_modifiers.Isc, PooledWidths, Classes, factory);
        register_module("classifier", new Group(_heads));
        if (_collaboration.Modules is { } transfers)
        {
            register_module("isc_modules", transfers);
        }
    }
}

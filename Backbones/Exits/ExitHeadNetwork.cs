using Imta.MetaWeight.Backbones.Layers;

namespace Imta.MetaWeight.Backbones.Exits;

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>
/// Modifications of the architecture from "Improved Techniques for Training Adaptive Deep Networks" (IMTA; Li et al., ICCV 2019), and
/// boosted exits (BoostNet; Yu et al., AAAI 2023).
/// </summary>
public record ModifierOptions
{
    public EquilibriumOptions Ge { get; init; } = new();

    public CollaborationOptions Isc { get; init; } = new();

    public BoostingOptions Boosting { get; init; } = new();
}

#pragma warning restore CS1591

/// <summary>
/// A network with the published exits, which read the last of each block's features: two 3×3 units of stride 2, 2×2 mean pooling, a linear
/// layer. It can use inline collaboration (ISC), be trained in two phases (<see cref="PhaseTwoNetwork"/>) and be linearised.
/// </summary>
/// <remarks>
/// The constructor of a derived class creates its blocks, calls <see cref="AddExit"/> once for each, in order, and then <see
/// cref="RegisterExits"/>. Blocks made of <see cref="Layers"/> record their linear maps; other operators must add theirs to
/// <see cref="Pass.Tape"/>.
/// </remarks>
public abstract class ExitHeadNetwork : MultiExitNetwork
{
    private readonly ModifierOptions _modifiers;
    private readonly List<ExitHead> _heads = [];
    private Collaboration? _collaboration;

    /// <summary>A network without blocks, which the derived class adds.</summary>
    /// <param name="name">The architecture's name.</param>
    /// <param name="modifiers">IMTA's and BoostNet's changes to its graph.</param>
    /// <param name="classes">C.</param>
    protected ExitHeadNetwork(string name, ModifierOptions modifiers, int classes)
        : base(name, modifiers.Ge, modifiers.Boosting) => (_modifiers, Classes) = (modifiers, classes);

    /// <inheritdoc/>
    public override int Exits => _heads.Count;

    /// <inheritdoc/>
    public override int Classes { get; }

    /// <inheritdoc/>
    public override bool IsLinearisable => true;

    /// <inheritdoc/>
    public override bool HasTrueGradients => base.HasTrueGradients && !_modifiers.Isc.Stops;

    /// <summary>The pooled feature of each exit, K × <c>[N, width]</c>.</summary>
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

    /// <summary>The width of each exit's pooled feature, K values.</summary>
    internal IReadOnlyList<long> PooledWidths => [.. _heads.Select(head => head.Width)];

    /// <summary>The features after block <paramref name="k"/>, for a network that wraps this one.</summary>
    internal Tensor[] Features(int k, Tensor[] features, Pass pass) => Block(k, features, pass);

    /// <summary>The feature <c>[N, width]</c> that the linear layer of exit <paramref name="k"/> reads.</summary>
    internal Tensor Pooled(int k, Tensor[] features, Pass pass) => _heads[k].Pooled(features[^1], pass);

    /// <summary>The output of exit <paramref name="k"/>'s linear layer for its pooled feature alone.</summary>
    internal Tensor StandaloneLogits(int k, Tensor pooled, Pass pass) => _heads[k].Linear.Forward(pooled, pass);

    /// <inheritdoc/>
    protected override Tensor Exit(int k, Tensor[] features, Tensor? earlier, Pass pass)
        => _collaboration!.Classify(k, _heads[k].Linear, Pooled(k, features, pass), earlier, pass);

    /// <summary>Creates the next exit.</summary>
    /// <param name="factory">Initialises its parameters.</param>
    /// <param name="images">What the network is for: for CIFAR, both units have 128 channels; for ImageNet, their input's number.</param>
    /// <param name="channels">Channels of the feature that it reads, <c>[N, channels, H, W]</c>; H and W are from 5 to 8.</param>
    protected void AddExit(LayerFactory factory, ImageKind images, long channels)
        => _heads.Add(new ExitHead(factory, images, channels, Classes, Collaboration.Widens(_modifiers.Isc, _heads.Count)));

    /// <summary>Registers the exits; call it once, after the last <see cref="AddExit"/>, where they belong in the module order.</summary>
    /// <param name="factory">Initialises the parameters of inline collaboration.</param>
    protected void RegisterExits(LayerFactory factory)
    {
        _collaboration = new Collaboration(_modifiers.Isc, PooledWidths, Classes, factory);
        register_module("classifier", new Group(_heads));
        if (_collaboration.Modules is { } transfers)
        {
            register_module("isc_modules", transfers);
        }
    }
}

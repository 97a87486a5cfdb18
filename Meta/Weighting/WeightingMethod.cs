using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Meta.Gradients;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Meta.Weighting;

/// <summary>Creates a weighting with its initial Θ.</summary>
/// <typeparam name="TOptions">The method's own settings.</typeparam>
/// <param name="own">The method's own settings.</param>
/// <param name="meta">The settings that all methods share.</param>
/// <param name="backbone">The network whose samples are weighted; Θ gets its device and element type.</param>
/// <param name="random">Draws the initial Θ.</param>
public delegate ISampleWeighting WeightingBuilder<in TOptions>(
    TOptions own, MetaOptions meta, MultiExitNetwork backbone, Generator random);

/// <summary>A way to weight training samples that a configuration can name, such as L2W-DEN's.</summary>
public sealed class WeightingMethod
{
    private readonly Func<object> _defaults;
    private readonly WeightingBuilder<object> _build;
    private readonly Func<object, bool> _cutsBatch;

    private WeightingMethod(
        string name, bool learns, Func<object> defaults, WeightingBuilder<object> build, Func<object, bool> cutsBatch)
        => (Name, Learns, _defaults, _build, _cutsBatch) = (name, learns, defaults, build, cutsBatch);

    /// <summary>Weights from L2W-DEN's weight-prediction network, or Meta-Weight-Net's (<see cref="WpnOptions.Output"/>).</summary>
    public static WeightingMethod Predicted { get; } = Create<NoOptions>(
        "predicted", learns: true, (_, meta, backbone, random) =>
        {
            Parameter like = backbone.Parameters[0];
            return meta.Wpn.Output == WpnOutput.Sigmoid
                ? new MetaWeightNetWeighting(meta, random, like.dtype, like.device)
                : new L2wDenWeighting(meta, backbone.Exits, random, like.dtype, like.device);
        },
        usesWpn: true);

    /// <summary>Weights by a fixed rule: larger at the exit that a sample is allocated to, smaller at the others (the ablation).</summary>
    public static WeightingMethod Fixed { get; }
        = Create<NoOptions>("fixed", learns: false, (_, meta, _, _) => new FixedWeighting(meta), allocates: true);

    /// <summary>Samples contribute only at the exit that they are allocated to (the ablation).</summary>
    public static WeightingMethod Allocated { get; }
        = Create<NoOptions>("allocated", learns: false, (_, meta, _, _) => new AllocatedWeighting(meta), allocates: true);

    /// <summary>Its name in YAML, which is also that of the group of its own settings.</summary>
    public string Name { get; }

    /// <summary>Whether it has parameters Θ and learns them from meta data.</summary>
    public bool Learns { get; }

    /// <summary>Whether it allocates the training samples to exits by <see cref="MetaOptions.Q"/>, so that each exit needs some.</summary>
    public bool Allocates { get; private init; }

    /// <summary>Whether it creates the network that <see cref="MetaOptions.Wpn"/> describes.</summary>
    public bool UsesWpn { get; private init; }

    /// <summary>Defines a method.</summary>
    /// <typeparam name="TOptions">
    /// A record of its own settings: each property has a default, a <c>[Description]</c> and, if it is a number, a <c>[Range]</c>.
    /// </typeparam>
    /// <param name="name">Its name in YAML: a lower-case letter, then letters and digits.</param>
    /// <param name="learns">Whether it has parameters Θ and learns them from meta data.</param>
    /// <param name="build">Creates the weighting.</param>
    /// <param name="cutsBatch">
    /// For a method that does not learn: whether it cuts a batch into halves, given its own settings; null: it does. A method that learns
    /// cuts it if <see cref="MetaOptions.Source"/> is <see cref="MetaSource.Halves"/>: its meta data are then the other half.
    /// </param>
    /// <param name="allocates">Whether it allocates the training samples to exits by <see cref="MetaOptions.Q"/>.</param>
    /// <param name="usesWpn">Whether it creates the network that <see cref="MetaOptions.Wpn"/> describes.</param>
    public static WeightingMethod Create<TOptions>(
        string name, bool learns, WeightingBuilder<TOptions> build, Func<TOptions, bool>? cutsBatch = null, bool allocates = false,
        bool usesWpn = false)
        where TOptions : class, new()
    {
        if (learns && cutsBatch is not null)
        {
            throw new ArgumentException($"{name} learns, so that meta.source says whether a batch is cut.", nameof(cutsBatch));
        }

        return new WeightingMethod(
            name, learns, () => new TOptions(),
            (own, meta, backbone, random) => build((TOptions)own, meta, backbone, random),
            own => cutsBatch?.Invoke((TOptions)own) ?? true)
        {
            Allocates = allocates,
            UsesWpn = usesWpn,
        };
    }

    /// <summary>A new instance of its own settings with default values, of the type given to <see cref="Create"/>.</summary>
    public object DefaultOptions() => _defaults();

    /// <summary>Whether a weighting with these settings cuts a batch into halves; lets checks know before one is created.</summary>
    /// <param name="own">Settings of the type of <see cref="DefaultOptions"/>.</param>
    /// <param name="meta">The settings that all methods share.</param>
    public bool CutsBatch(object own, MetaOptions meta) => Learns ? meta.Source == MetaSource.Halves : _cutsBatch(own);

    /// <summary>Creates a weighting with its initial Θ.</summary>
    /// <param name="own">Settings of the type of <see cref="DefaultOptions"/>.</param>
    /// <param name="meta">The settings that all methods share.</param>
    /// <param name="backbone">The network whose samples are weighted; Θ gets its device and element type.</param>
    /// <param name="random">Draws the initial Θ.</param>
    /// <exception cref="InvalidOperationException">
    /// Its <see cref="ISampleWeighting.CutsBatch"/> differs from <see cref="CutsBatch"/>: the loop would not do what was checked.
    /// </exception>
    public ISampleWeighting Build(
        object own, MetaOptions meta, MultiExitNetwork backbone, Generator random)
    {
        ISampleWeighting weighting = _build(own, meta, backbone, random);
        if (weighting.CutsBatch == CutsBatch(own, meta))
        {
            return weighting;
        }

        string what = $"CutsBatch of the weighting {Name} is {weighting.CutsBatch}, but its method ";
        weighting.Dispose();
        throw new InvalidOperationException(
            what + (Learns ? $"learns, and meta data are {meta.Source}." : "was created with another cutsBatch."));
    }
}

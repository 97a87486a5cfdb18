using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Layers;

namespace Imta.MetaWeight.Backbones.Msd;

/// <summary>Where the network drops its finest scales.</summary>
public enum Prune
{
    /// <summary>
    /// Over the whole depth: the layers are divided into as many equal parts as there are scales, each with one scale fewer.
    /// </summary>
    Max,

    /// <summary>Only at the end: a layer has no more scales than there are layers left, itself included.</summary>
    Min,
}

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>
/// The shape of an MSDNet (Huang et al., ICLR 2018) for CIFAR or ImageNet. The number of scales is the length of its two lists.
/// </summary>
public sealed record MsdNetOptions : IValidatableObject
{
    [Description("Number of blocks; each ends in an exit, so this is K")]
    [Range(1, 100)]
    public int Blocks { get; init; } = 5;

    [Description("Number of layers in the first block")]
    [Range(1, 100)]
    public int Base { get; init; } = 1;

    [Description("Number of layers in every later block (stepMode even), or its increase from block to block (linGrow)")]
    [Range(1, 100)]
    public int Step { get; init; } = 1;

    [Description("How the number of layers changes from block to block")]
    public StepMode StepMode { get; init; } = StepMode.LinGrow;

    [Description("Output channels of the first layer at the finest scale, before applying that scale's growth factor")]
    [Range(1, 4096)]
    public int Channels { get; init; } = 16;

    [Description("Growth rate: channels each layer adds at each scale, before applying the scale's growth factor")]
    [Range(1, 4096)]
    public int Growth { get; init; } = 6;

    [Description("Growth factor of each scale, finest first; default: 1, 2, 4, 4, ..., one per scale")]
    [Range(1, 64), MinLength(1)]
    public IReadOnlyList<int> GrowthFactors { get; init => field = IntList.From(value); } = IntList.From([1, 2, 4]);

    [Description("Whether a 1×1 convolution reduces the channels before each 3×3 convolution of a layer")]
    public bool Bottleneck { get; init; } = true;

    [Description(
        "Bottleneck width of each scale as a multiple of the channels a layer adds, finest scale first; without effect if bottleneck is "
        + "false")]
    [Range(1, 64), MinLength(1)]
    public IReadOnlyList<int> BottleneckFactors { get; init => field = IntList.From(value); } = IntList.From([1, 2, 4]);

    [Description(
        "When the finest scales are dropped: in equal parts of the depth (max), or where the layers left are too "
        + "few to use them (min)")]
    public Prune Prune { get; init; } = Prune.Max;

    [Description("Fraction of channels kept by a transition layer; 0: no transition layers")]
    [Range(0.0, 1.0)]
    public double Reduction { get; init; } = 0.5;

    IEnumerable<ValidationResult> IValidatableObject.Validate(ValidationContext validationContext)
    {
        if (GrowthFactors.Count != BottleneckFactors.Count)
        {
            yield return new(
                $"growthFactors has {GrowthFactors.Count} entries, bottleneckFactors {BottleneckFactors.Count}; both need one per scale",
                [nameof(GrowthFactors), nameof(BottleneckFactors)]);
        }
    }
}

#pragma warning restore CS1591

/// <summary>
/// MSDNet for CIFAR or ImageNet (Huang et al., "Multi-Scale Dense Networks", ICLR 2018), with the published code's names.
/// </summary>
public sealed class MsdNet : ExitHeadNetwork
{
    private readonly MsdStage[][] _blocks;

    /// <summary>MsdNet as a configuration names it: <c>msdnet</c>.</summary>
    public static Backbone Backbone { get; } = Backbone.Create<MsdNetOptions>(
        "msdnet",
        options => options.Blocks,
        (options, images, classes, factory, modifiers) => new MsdNet(options, images, classes, factory, modifiers));

    /// <summary>Builds the network.</summary>
    /// <param name="options">Its architecture.</param>
    /// <param name="images">The kind of images it is for.</param>
    /// <param name="classes">The number of classes C.</param>
    /// <param name="factory">Initialises its parameters.</param>
    /// <param name="modifiers">IMTA's and BoostNet's architecture modifications; null: none.</param>
    /// <exception cref="ArgumentException">The options describe a network that cannot be built.</exception>
    public MsdNet(MsdNetOptions options, ImageKind images, int classes, LayerFactory factory, ModifierOptions? modifiers = null)
        : base("MSDNet", modifiers ?? new ModifierOptions(), classes)
    {
        (IReadOnlyList<MsdLayerPlan> Layers, long ChannelsAtExit)[] plan = Checked(options, images);
        _blocks = new MsdStage[plan.Length][];
        for (int k = 0; k < plan.Length; k++)
        {
            _blocks[k] = [.. Parts(factory, options, images, plan[k].Layers, isFirst: k == 0)];
            AddExit(factory, images, plan[k].ChannelsAtExit * options.GrowthFactors[^1]);
        }

        register_module("blocks", new Group(_blocks.Select(stages => new Group(stages))));
        RegisterExits(factory);
    }

    /// <inheritdoc/>
    protected override Tensor[] Block(int k, Tensor[] features, Pass pass)
    {
        foreach (MsdStage part in _blocks[k])
        {
            features = part.Forward(features, pass);
        }

        return features;
    }

    private static IEnumerable<MsdStage> Parts(
        LayerFactory factory, MsdNetOptions options, ImageKind images, IReadOnlyList<MsdLayerPlan> layers, bool isFirst)
    {
        if (isFirst)
        {
            yield return new MsdFirstLayer(factory, options, images);
        }

        foreach (MsdLayerPlan layer in layers)
        {
            yield return new MsdLayer(factory, options, layer);
            if (layer.Reduced is { } reduced)
            {
                yield return new MsdTransition(factory, options, layer.Channels + options.Growth, reduced, layer.ScalesOut);
            }
        }
    }

    private static (IReadOnlyList<MsdLayerPlan> Layers, long ChannelsAtExit)[] Checked(MsdNetOptions options, ImageKind images)
    {
        (IReadOnlyList<MsdLayerPlan> Layers, long ChannelsAtExit)[] plan = MsdPlan.Blocks(options);
        int scales = images.Scales;
        if (options.GrowthFactors.Count != scales || options.BottleneckFactors.Count != scales)
        {
            throw new ArgumentException(
                $"growthFactors lists {options.GrowthFactors.Count} scales and bottleneckFactors {options.BottleneckFactors.Count}: "
                + $"an MSDNet for {images} images has {scales}, so each lists {scales} factors.", nameof(options));
        }

        // Half of a layer's new channels come from the next finer scale.
        if (options.GrowthFactors.Skip(1).Any(factor => (long)options.Growth * factor % 2 != 0))
        {
            throw new ArgumentException(
                $"growth {options.Growth} times a growth factor is odd, and half of a layer's channels come from the finer scale: "
                + "use an even growth, or even growthFactors for all scales but the first.",
                nameof(options));
        }

        // A layer that drops a scale must keep at least one, and a transition must keep at least one channel.
        if (plan.SelectMany(block => block.Layers).Any(layer => layer.ScalesOut < 1 || layer.Reduced < 1))
        {
            throw new ArgumentException(
                "a layer is left without scales or channels: use fewer growthFactors, more layers, or a larger reduction.",
                nameof(options));
        }

        return plan;
    }
}

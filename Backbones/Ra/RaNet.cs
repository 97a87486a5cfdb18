using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Globalization;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Layers;

namespace Imta.MetaWeight.Backbones.Ra;

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>
/// The shape of a RANet (Yang et al., CVPR 2020). It has one sub-network per list entry, lowest resolution
/// first. Exits follow the <see cref="Blocks"/> blocks of the first, and the last <see cref="BlockStep"/> blocks of each later one.
/// </summary>
public sealed record RaNetOptions : IValidatableObject
{
    [Description("Number of blocks in the first sub-network, each with an exit")]
    [Range(1, 100)]
    public int Blocks { get; init; } = 2;

    [Description(
        "Number of blocks by which each sub-network exceeds the one before; these have exits, the blocks before them fuse the lower "
        + "resolution's features")]
    [Range(1, 100)]
    public int BlockStep { get; init; } = 2;

    [Description("Number of layers per block (stepMode even), or in the first block, growing by this number with each block (linGrow)")]
    [Range(1, 100)]
    public int Step { get; init; } = 4;

    [Description("How the number of layers changes from block to block within a sub-network")]
    public StepMode StepMode { get; init; } = StepMode.Even;

    [Description("Output channels of the first layer for each sub-network, before applying its growth factor")]
    [Range(1, 4096)]
    public int Channels { get; init; } = 16;

    [Description("Growth rate: channels each layer adds, before applying the sub-network's growth factor")]
    [Range(1, 4096)]
    public int Growth { get; init; } = 6;

    [Description("Growth factor of each sub-network, lowest resolution first")]
    [Range(1, 64), MinLength(1)]
    public IReadOnlyList<int> GrowthFactors { get; init => field = IntList.From(value); } = IntList.From([4, 2, 1]);

    [Description("Bottleneck width of each sub-network as a multiple of the channels a layer adds, lowest resolution first")]
    [Range(1, 64), MinLength(1)]
    public IReadOnlyList<int> BottleneckFactors { get; init => field = IntList.From(value); } = IntList.From([4, 2, 1]);

    [Description(
        "Resolution level of each sub-network, starting with 1, the lowest: each is the level before or one more, which doubles the "
        + "resolution; the last is 3 for CIFAR, 4 for ImageNet")]
    [Range(1, 16), MinLength(1)]
    public IReadOnlyList<int> ScaleList { get; init => field = IntList.From(value); } = IntList.From([1, 2, 3]);

    [Description("Share of a fusing layer's new channels that come from the previous sub-network")]
    [Range(0.0, 1.0, MinimumIsExclusive = true, MaximumIsExclusive = true)]
    public double Compress { get; init; } = 0.25;

    [Description("Fraction of channels kept by a transition layer")]
    [Range(0.0, 1.0, MinimumIsExclusive = true)]
    public double Reduction { get; init; } = 0.5;

    /// <summary>K.</summary>
    public int Exits() => Blocks + ((ScaleList.Count - 1) * BlockStep);

    IEnumerable<ValidationResult> IValidatableObject.Validate(ValidationContext validationContext)
    {
        if (GrowthFactors.Count != ScaleList.Count || BottleneckFactors.Count != ScaleList.Count)
        {
            yield return new(
                $"scaleList has {ScaleList.Count} entries, growthFactors {GrowthFactors.Count}, "
                + $"bottleneckFactors {BottleneckFactors.Count}; all three need one per sub-network",
                [nameof(ScaleList), nameof(GrowthFactors), nameof(BottleneckFactors)]);
        }
    }
}

#pragma warning restore CS1591

/// <summary>
/// RANet for CIFAR or ImageNet (Yang et al., "Resolution Adaptive Networks for Efficient Inference", CVPR 2020), with the published code's
/// names: sub-networks from low to high resolution, each of which first fuses the features of the previous one, if any, and then has exits.
/// </summary>
public sealed class RaNet : ExitHeadNetwork
{
    private readonly RaFirstLayer _first;
    private readonly RaBlock[][] _flows;
    private readonly (int Flow, int From, int To)[] _runs; // for each exit, the blocks of its sub-network since the exit before

    /// <summary>RaNet as a configuration names it: <c>ranet</c>.</summary>
    public static Backbone Backbone { get; } = Backbone.Create<RaNetOptions>(
        "ranet",
        options => options.Exits(),
        (options, images, classes, factory, modifiers) => new RaNet(options, images, classes, factory, modifiers));

    /// <summary>Builds the network.</summary>
    /// <param name="options">Its architecture.</param>
    /// <param name="images">The kind of images it is for.</param>
    /// <param name="classes">The number of classes C.</param>
    /// <param name="factory">Initialises its parameters; as published, all but the first layer always use He's rule.</param>
    /// <param name="modifiers">IMTA's and BoostNet's architecture modifications; null: none.</param>
    /// <exception cref="ArgumentException">The options describe a network that cannot be built.</exception>
    public RaNet(RaNetOptions options, ImageKind images, int classes, LayerFactory factory, ModifierOptions? modifiers = null)
        : base("RANet", modifiers ?? new ModifierOptions(), classes)
    {
        IReadOnlyList<RaBlockPlan>[] plan = Checked(options, images);
        LayerFactory he = factory with { Initialisation = Initialisation.He };
        _first = new RaFirstLayer(factory, RaPlan.Flows(options), images);
        _flows = new RaBlock[plan.Length][];
        var runs = new List<(int Flow, int From, int To)>();
        for (int f = 0; f < plan.Length; f++)
        {
            _flows[f] = [.. plan[f].Select(block => new RaBlock(he, block, options.Compress))];
            int fusing = plan[f].Count(block => block.Low is not null);
            for (int b = fusing; b < plan[f].Count; b++)
            {
                runs.Add((f, b == fusing ? 0 : b, b + 1));
                AddExit(he, images, plan[f][b].Out);
            }
        }

        _runs = [.. runs];
        register_module("scale_flows", new Group(_flows.Select(blocks => new Group(blocks))));
        RegisterExits(he);
        register_module("FirstLayer", _first);
    }

    /// <inheritdoc/>
    /// <remarks>
    /// The features: the first ones of later sub-networks, lowest resolution first; what this sub-network's blocks have kept for the next
    /// one; and last the feature that the head reads.
    /// </remarks>
    protected override Tensor[] Block(int k, Tensor[] features, Pass pass)
    {
        (int flow, int from, int to) = _runs[k];
        if (k == 0)
        {
            features = [.. _first.Forward(features[0], pass), features[0]];
        }

        bool begins = from == 0; // start of a sub-network: x is its first features; the kept features are the previous sub-network's
        int coming = _flows.Length - flow - 1;
        Tensor x = begins ? features[0] : features[^1];
        Tensor[] ahead = features[(begins ? 1 : 0)..][..coming], low = begins ? features[(coming + 1)..^1] : [];
        List<Tensor> kept = begins ? [] : [.. features[coming..^1]];
        for (int b = from; b < to; b++)
        {
            RaBlock block = _flows[flow][b];
            Tensor[] fused = low.Length > 0 ? low[..block.Kept] : [];
            low = low[fused.Length..];
            (x, Tensor[] more) = block.Forward(x, fused, pass);
            kept.AddRange(more);
        }

        return [.. ahead, .. coming > 0 ? kept : [], x];
    }

    private static IReadOnlyList<RaBlockPlan>[] Checked(RaNetOptions options, ImageKind images)
    {
        int highest = images.Scales;
        IReadOnlyList<int> scales = options.ScaleList;
        if (options.GrowthFactors.Count != scales.Count || options.BottleneckFactors.Count != scales.Count)
        {
            throw new ArgumentException(
                $"scaleList lists {scales.Count} sub-networks, growthFactors {options.GrowthFactors.Count} "
                + $"and bottleneckFactors {options.BottleneckFactors.Count}: all three need one entry per sub-network.", nameof(options));
        }

        if (scales[0] != 1 || scales[^1] != highest || scales.Zip(scales.Skip(1)).Any(pair => pair.Second - pair.First is not (0 or 1)))
        {
            throw new ArgumentException(
                $"scaleList is {scales}: for {images} images it goes from "
                + $"1 to {highest}, each entry the one before or one more.", nameof(options));
        }

        if (options.GrowthFactors.Skip(1).Any(factor => (long)(options.Growth * factor * options.Compress) < 1))
        {
            throw new ArgumentException(string.Create(
                CultureInfo.InvariantCulture,
                $"a fusing layer gets no channels from the lower resolution: compress {options.Compress} "
                + $"of growth {options.Growth} times a growth factor is below 1; use a larger growth or compress."), nameof(options));
        }

        IReadOnlyList<RaBlockPlan>[] plan = RaPlan.Blocks(options);
        return plan.All(flow => flow.All(block => block.Reduced is null or > 0))
            ? plan
            : throw new ArgumentException("a transition is left without channels: use a larger reduction.", nameof(options));
    }
}

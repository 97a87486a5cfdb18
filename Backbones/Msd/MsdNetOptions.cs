using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Imta.MetaWeight.Backbones.Msd;

/// <summary>Which scales a layer drops as the network gets deeper.</summary>
public enum Prune
{
    /// <summary>Over the whole depth: the layers are cut in as many equal parts as there are scales, each with one scale less.</summary>
    Max,

    /// <summary>At the end only: a layer has no more scales than layers are left, itself included.</summary>
    Min,
}

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>The shape of an MSDNet (Huang et al., ICLR 2018) for CIFAR or ImageNet. The number of scales is the length of the two lists.</summary>
public sealed record MsdNetOptions
{
    [Description("Blocks of the network; each ends in an exit, so this is K")]
    [Range(1, 100)]
    public int Blocks { get; init; } = 5;

    [Description("Layers of the first block")]
    [Range(1, 100)]
    public int Base { get; init; } = 1;

    [Description("Layers of every later block (stepMode even), or the growth of their number from block to block (linGrow)")]
    [Range(1, 100)]
    public int Step { get; init; } = 1;

    [Description("How the number of layers goes from block to block")]
    public StepMode StepMode { get; init; } = StepMode.LinGrow;

    [Description("Output channels of the first layer at the finest scale, before that scale's growth factor")]
    [Range(1, 4096)]
    public int Channels { get; init; } = 16;

    [Description("Channels that a layer adds at each scale, before the scale's growth factor")]
    [Range(1, 4096)]
    public int Growth { get; init; } = 6;

    [Description("Growth factor of each scale, the finest first")]
    [Range(1, 64), MinLength(1)]
    public IReadOnlyList<int> GrowthFactors { get; init => field = IntList.From(value); } = IntList.From([1, 2, 4]);

    [Description("Bottleneck width of each scale in multiples of the channels that a layer adds, the finest scale first")]
    [Range(1, 64), MinLength(1)]
    public IReadOnlyList<int> BottleneckFactors { get; init => field = IntList.From(value); } = IntList.From([1, 2, 4]);

    [Description("When the finest scales are dropped: in equal parts of the depth (max), or where the layers left are too few to use them (min)")]
    public Prune Prune { get; init; } = Prune.Max;

    [Description("Channels that a transition layer keeps, as a fraction; 0: no transition layers")]
    [Range(0.0, 1.0)]
    public double Reduction { get; init; } = 0.5;
}

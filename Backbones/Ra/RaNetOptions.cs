using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Imta.MetaWeight.Backbones.Ra;

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>
/// The shape of a RANet (Yang et al., CVPR 2020). It has as many sub-networks as the lists have entries, the one of the lowest resolution
/// first; the exits are those of <see cref="Blocks"/> blocks of the first and <see cref="BlockStep"/> of each later one.
/// </summary>
public sealed record RaNetOptions
{
    [Description("Blocks of the first sub-network, each with an exit")]
    [Range(1, 100)]
    public int Blocks { get; init; } = 2;

    [Description("Blocks that each later sub-network has more than the one before; these have exits, those before fuse the lower resolution's features")]
    [Range(1, 100)]
    public int BlockStep { get; init; } = 2;

    [Description("Layers of each block (stepMode even), or of the first, each next one having as many more (linGrow)")]
    [Range(1, 100)]
    public int Step { get; init; } = 4;

    [Description("How the number of layers goes from block to block of a sub-network")]
    public StepMode StepMode { get; init; } = StepMode.Even;

    [Description("Output channels of the first layer for each sub-network, before its growth factor")]
    [Range(1, 4096)]
    public int Channels { get; init; } = 16;

    [Description("Channels that a layer adds, before the sub-network's growth factor")]
    [Range(1, 4096)]
    public int Growth { get; init; } = 6;

    [Description("Growth factor of each sub-network, the lowest resolution first")]
    [Range(1, 64), MinLength(1)]
    public IReadOnlyList<int> GrowthFactors { get; init => field = IntList.From(value); } = IntList.From([4, 2, 1]);

    [Description("Bottleneck width of each sub-network in multiples of the channels that a layer adds, the lowest resolution first")]
    [Range(1, 64), MinLength(1)]
    public IReadOnlyList<int> BottleneckFactors { get; init => field = IntList.From(value); } = IntList.From([4, 2, 1]);

    [Description("Resolution of each sub-network, 1 the lowest, each next one the same or twice as high; the last is 3 for CIFAR, 4 for ImageNet")]
    [Range(1, 16), MinLength(1)]
    public IReadOnlyList<int> ScaleList { get; init => field = IntList.From(value); } = IntList.From([1, 2, 3]);

    [Description("Share of a fusing layer's new channels that comes from the sub-network before")]
    [Range(0.0, 1.0, MinimumIsExclusive = true, MaximumIsExclusive = true)]
    public double Compress { get; init; } = 0.25;

    [Description("Channels that a transition layer keeps, as a fraction")]
    [Range(0.0, 1.0, MinimumIsExclusive = true)]
    public double Reduction { get; init; } = 0.5;

    /// <summary>K.</summary>
    public int Exits() => Blocks + ((ScaleList.Count - 1) * BlockStep);
}

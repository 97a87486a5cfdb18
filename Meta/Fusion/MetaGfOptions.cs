using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Imta.MetaWeight.Meta.Fusion;

/// <summary>Which parts of a parameter tensor have their own fusion weight, for each exit.</summary>
public enum FusionUnit
{
    /// <summary>The whole tensor.</summary>
    Tensor,

    /// <summary>An output channel: an index of the first axis.</summary>
    Channel,

    /// <summary>A pair of output and input channel: indices of the first two axes.</summary>
    ChannelPair,
}

/// <summary>The share of an exit, up to scale, as a function of its fusion weight w.</summary>
public enum FusionActivation
{
    /// <summary>1/(1 + e⁻ʷ).</summary>
    Sigmoid,

    /// <summary>exp(T w).</summary>
    Exponential,
}

/// <summary>Weights of the other exits' losses while one exit is trained, from the published code.</summary>
public enum AuxiliaryLosses
{
    /// <summary>0.1 · (1, 1, 0.6, 0.6, 0.75, 0.9, 1): MSDNet and ResNet.</summary>
    Msdnet,

    /// <summary>0.1 · (3, 0.6, 0.45, 0.6, 0.75, 0.9, 1): VGG.</summary>
    Vgg,
}

/// <summary>What happens to the fusion weights at the end of an epoch.</summary>
public enum FusionAveraging
{
    /// <summary>They are set to an average of those at the epoch's start and end, and learning continues.</summary>
    InPlace,

    /// <summary>
    /// The average replaces them outside autograd's graph, so they stay as they are after the first epoch (the published code).
    /// </summary>
    Replaced,
}

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>Settings of <see cref="MetaGf"/>.</summary>
public sealed record MetaGfOptions
{
    [Description("Meta-GF: every epoch trains each exit in a pass of its own; one more pass then learns how to fuse their updates")]
    public bool Enabled { get; init; }

    [Description(
        "Granularity of the fusion weights of each exit: one per parameter tensor, per output channel, or per pair of output and input "
        + "channel")]
    public FusionUnit Unit { get; init; } = FusionUnit.Tensor;

    [Description("Share of an exit, up to scale, as a function of its fusion weight w: 1/(1 + exp(-w)), or exp(temperature * w)")]
    public FusionActivation Activation { get; init; } = FusionActivation.Sigmoid;

    [Description("Factor of the fusion weights in exp(temperature * w)")]
    [Range(0.0, double.MaxValue, MinimumIsExclusive = true)]
    public double Temperature { get; init; } = 1;

    [Description("Initial fusion weights")]
    [Range(-20.0, 20.0)]
    public double Start { get; init; } = 1;

    [Description("Initial fusion weights of the last exit; null: the same as the others'")]
    [Range(-20.0, 20.0)]
    public double? LastStart { get; init; }

    [Description("Constant learning rate of Adam for the fusion weights")]
    [Range(0.0, double.MaxValue, MinimumIsExclusive = true)]
    public double Rate { get; init; } = 0.1;

    [Description("Share of an epoch's initial fusion weights when they are averaged with its final ones")]
    [Range(0.0, 1.0)]
    public double Average { get; init; } = 0.9;

    [Description(
        "Whether learning continues from the averaged fusion weights (inPlace), or they no longer change after the first epoch "
        + "(replaced, the published code)")]
    public FusionAveraging Averaging { get; init; } = FusionAveraging.InPlace;

    [Description("Whether an epoch ends with a step of Adam with gradient 0 (the published code, with PyTorch before 2.0)")]
    public bool TrailingStep { get; init; }

    [Description("Weights of the other exits' losses while one exit is trained: those of the published MSDNet or VGG")]
    public AuxiliaryLosses Auxiliary { get; init; } = AuxiliaryLosses.Msdnet;

    [Description(
        "Whether an exit's loss in its own pass is weighted like its meta loss: less at early exits and in early epochs (the published "
        + "code for SDN)")]
    public bool Ramp { get; init; }

    /// <summary>
    /// The estimated size of a fusion's state within an epoch, in multiples of the parameters' size: θ, K displacements and, only for
    /// channel pairs, w and its optimiser.
    /// </summary>
    /// <param name="exits">K.</param>
    public int StateCopies(int exits) => exits + 1 + (Unit == FusionUnit.ChannelPair ? 4 * exits : 0); // w, w before, two moments
}

#pragma warning restore CS1591

/// <summary>The weights of the exits' losses in Meta-GF's passes, as the published code has them for up to 7 exits.</summary>
public static class MetaGfCoefficients
{
    private const double Scale = 0.1;

    private static readonly double[] Msdnet = [1, 1, 0.6, 0.6, 0.75, 0.9, 1], Vgg = [3, 0.6, 0.45, 0.6, 0.75, 0.9, 1];

    /// <summary>τ_j = min(m_j, 0.01 + m_j · progress) with m_j = min(1, 0.15 j) for exit j, from 1; 1 for the last: K numbers.</summary>
    /// <param name="exits">K.</param>
    /// <param name="progress">Finished epochs over all epochs.</param>
    public static double[] Meta(int exits, double progress) => [.. Enumerable.Range(1, exits).Select(j =>
    {
        double most = Math.Min(1, 0.15 * j);
        return j == exits ? 1 : Math.Min(most, 0.01 + (most * progress));
    })];

    /// <summary>1 for the exit that is trained and 0.1 a_j for the others; with a ramp, all times τ of that exit: K numbers.</summary>
    /// <param name="exit">The exit that is trained, from 0.</param>
    /// <param name="exits">K.</param>
    /// <param name="progress">Finished epochs over all epochs.</param>
    /// <param name="options">a, which is 1 from the eighth exit on, and whether there is a ramp.</param>
    public static double[] Train(int exit, int exits, double progress, MetaGfOptions options)
    {
        double[] auxiliary = options.Auxiliary == AuxiliaryLosses.Vgg ? Vgg : Msdnet;
        double own = options.Ramp ? Meta(exits, progress)[exit] : 1;
        return
        [
            .. Enumerable.Range(0, exits).Select(j => own * (j == exit ? 1 : Scale * (j < auxiliary.Length ? auxiliary[j] : 1))),
        ];
    }
}

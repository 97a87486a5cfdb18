using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Imta.MetaWeight.Meta.Fusion;

/// <summary>What of a parameter tensor has a fusion weight of its own, for each exit.</summary>
public enum FusionUnit
{
    /// <summary>The whole tensor.</summary>
    Tensor,

    /// <summary>An output channel: an index of the first axis.</summary>
    Channel,

    /// <summary>A pair of output and input channel: indices of the first two axes.</summary>
    ChannelPair,
}

/// <summary>The share of an exit, up to scale, by its fusion weight w.</summary>
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

/// <summary>What becomes of the fusion weights at the end of an epoch.</summary>
public enum FusionAveraging
{
    /// <summary>They move to the average of the epoch's start and end, and are learned on.</summary>
    InPlace,

    /// <summary>
    /// The average replaces them outside autograd's graph, so that they stay as after the first epoch (the published code).
    /// </summary>
    Replaced,
}

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>Settings of <see cref="MetaGf"/>.</summary>
public sealed record MetaGfOptions
{
    [Description("Meta-GF: every epoch trains each exit in a pass of its own, then learns in one more pass how to fuse what they changed")]
    public bool Enabled { get; init; }

    [Description("What has a fusion weight of its own for each exit: a parameter tensor, an output channel, or a pair of output and input "
        + "channel")]
    public FusionUnit Unit { get; init; } = FusionUnit.Tensor;

    [Description("Share of an exit, up to scale, by its fusion weight w: 1/(1 + exp(-w)), or exp(temperature * w)")]
    public FusionActivation Activation { get; init; } = FusionActivation.Sigmoid;

    [Description("Factor of the fusion weights in exp(temperature * w)")]
    [Range(0.0, double.MaxValue, MinimumIsExclusive = true)]
    public double Temperature { get; init; } = 1;

    [Description("Fusion weights at the start")]
    [Range(-20.0, 20.0)]
    public double Start { get; init; } = 1;

    [Description("Fusion weights of the last exit at the start; null: as those of the others")]
    [Range(-20.0, 20.0)]
    public double? LastStart { get; init; }

    [Description("Adam's learning rate for the fusion weights; it is constant")]
    [Range(0.0, double.MaxValue, MinimumIsExclusive = true)]
    public double Rate { get; init; } = 0.1;

    [Description("Share of the epoch's first fusion weights in the average with its last ones")]
    [Range(0.0, 1.0)]
    public double Average { get; init; } = 0.9;

    [Description("Whether fusion weights go on being learned from that average (inPlace), or stay as after the first epoch (replaced, the "
        + "published code)")]
    public FusionAveraging Averaging { get; init; } = FusionAveraging.InPlace;

    [Description("Whether a last step of Adam with gradient 0 ends an epoch (the published code, with PyTorch before 2.0)")]
    public bool TrailingStep { get; init; }

    [Description("Weights of the other exits' losses while one exit is trained: those of the published MSDNet or VGG")]
    public AuxiliaryLosses Auxiliary { get; init; } = AuxiliaryLosses.Msdnet;

    [Description("Whether an exit's own pass is weighted as its meta loss is, less at early exits and in early epochs (the published code "
        + "for SDN)")]
    public bool Ramp { get; init; }

    /// <summary>
    /// How many times the parameters' size a fusion's state has within an epoch: θ, K displacements; w of pairs of channels.
    /// </summary>
    /// <param name="exits">K.</param>
    public int StateCopies(int exits) => exits + 1 + (Unit == FusionUnit.ChannelPair ? 4 * exits : 0); // w twice, and its moments
}

#pragma warning restore CS1591

/// <summary>The weights of the exits' losses in Meta-GF's passes, as the published code has them for up to 7 exits.</summary>
public static class MetaGfCoefficients
{
    private const double Scale = 0.1;

    private static readonly double[] Msdnet = [1, 1, 0.6, 0.6, 0.75, 0.9, 1], Vgg = [3, 0.6, 0.45, 0.6, 0.75, 0.9, 1];

    /// <summary>τ_j = min(m_j, 0.01 + m_j · progress) with m_j = 0.15 j for exit j, from 1; 1 for the last: K numbers.</summary>
    /// <param name="exits">K.</param>
    /// <param name="progress">Finished epochs over all epochs.</param>
    public static double[] Meta(int exits, double progress) => [.. Enumerable.Range(1, exits).Select(j =>
    {
        double most = Math.Min(1, 0.15 * j);
        return j == exits ? 1 : Math.Min(most, 0.01 + (most * progress));
    })];

    /// <summary>1 for the exit that is trained and 0.1 a_j for the others, times τ of that exit with a ramp: K numbers.</summary>
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

using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Meta.Weighting;

/// <summary>Dimension over which the weight perturbations <c>[N, K]</c> are centred to mean 0.</summary>
public enum Centring
{
    /// <summary>Over the exits of each sample.</summary>
    Col,

    /// <summary>Over the samples at each exit.</summary>
    Row,

    /// <summary>Over both.</summary>
    Mat,
}

/// <summary>Input features of the weight-prediction network; with <see cref="WpnOutput.Sigmoid"/>, one exit's at a time.</summary>
public enum WeightFeatures
{
    /// <summary>The sample's K cross-entropies.</summary>
    Loss,

    /// <summary>The sample's K confidences (largest softmax probability).</summary>
    Confidence,

    /// <summary>The cross-entropies, then the confidences: 2K numbers.</summary>
    Both,
}

/// <summary>Where meta data comes from.</summary>
public enum MetaSource
{
    /// <summary>From the batch itself: each half is the other's meta data (L2W-DEN).</summary>
    Halves,

    /// <summary>From a balanced set held out from the training data (Meta-Weight-Net).</summary>
    HeldOut,
}

/// <summary>The interpretation of the weight-prediction network's output.</summary>
public enum WpnOutput
{
    /// <summary>tanh, K outputs from the features at all of a sample's exits: the perturbations of its weights (L2W-DEN).</summary>
    Tanh,

    /// <summary>
    /// sigmoid, one output from one exit's own features, with the same network at every exit: the weight up to scale (Meta-Weight-Net).
    /// </summary>
    Sigmoid,
}

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>How sample weights are learned (Han et al., ECCV 2022).</summary>
public record MetaOptions
{
    [Description("Method that computes the gradient of the meta objective")]
    public MetaGradientMethod Gradient { get; init; } = MetaGradientMethod.Forward;

    [Description("Whether the forward pass at the current parameters is kept during the lookahead (normal) or recomputed (low); gradient "
        + "forward only")]
    public MetaMemory Memory { get; init; } = MetaMemory.Normal;

    [Description("With several processes: whether each takes the lookahead step with its own shard's gradient (local, as published) or "
        + "all with the mean gradient (global)")]
    public LookaheadScope Lookahead { get; init; } = LookaheadScope.Local;

    [
        Description(
            "Exit shares: exit k gets a share of the meta samples proportional to q^k; 1 is uniform, smaller values favour early exits")
    ]
    [Range(0.0, double.MaxValue, MinimumIsExclusive = true)]
    public double Q { get; init; } = 0.75;

    [Description("Meta samples that contribute at each exit: those allocated to it, or all (vanilla)")]
    public MetaObjectiveKind Objective { get; init; } = MetaObjectiveKind.Allocated;

    [Description("Magnitude of the weight perturbation: w = 1 + epsilon * centred output of the weight-prediction network")]
    [Range(0.0, double.MaxValue)]
    public double Epsilon { get; init; } = 0.8;

    [Description("Dimension over which the perturbation is centred: the exits of a sample (col), the samples at an exit (row), both (mat)")]
    public Centring Centring { get; init; } = Centring.Col;

    [Description("Input features of the weight-prediction network")]
    public WeightFeatures Features { get; init; } = WeightFeatures.Loss;

    [Description("Batches between updates of the weight-prediction network; 0: never, it keeps its initial weights (the ablation)")]
    [Range(0, int.MaxValue)]
    public int Interval { get; init; } = 1;

    [Description("Meta data: the other half of a batch (halves), or a balanced set held out from the training data (heldOut; predicted "
        + "weights only)")]
    public MetaSource Source { get; init; } = MetaSource.Halves;

    [Description("Images per class in the held-out meta data (heldOut only)")]
    [Range(1, int.MaxValue)]
    public int PerClass { get; init; } = 10;

    public WpnOptions Wpn { get; init; } = new();

    public MetaOptimiserOptions Optimiser { get; init; } = new();
}

/// <summary>The weight-prediction network: an MLP with ReLU hidden layers.</summary>
public sealed record WpnOptions
{
    [Description("Units per hidden layer of the weight-prediction network")]
    [Range(1, 65536)]
    public int Hidden { get; init; } = 500;

    [Description("Number of hidden layers of the weight-prediction network")]
    [Range(1, 100)]
    public int Layers { get; init; } = 1;

    [Description("tanh: 1 + epsilon * centred output, for all exits jointly (L2W-DEN); sigmoid: output / mean, from each exit's own "
        + "features (Meta-Weight-Net)")]
    public WpnOutput Output { get; init; } = WpnOutput.Tanh;
}

/// <summary>Adam for the weight-prediction network.</summary>
public sealed record MetaOptimiserOptions
{
    [Description("Adam's learning rate for the weight-prediction network; it follows train.schedule")]
    [Range(0.0, double.MaxValue, MinimumIsExclusive = true)]
    public double Rate { get; init; } = 1e-4;

    [Description("L2 weight decay of the weight-prediction network, added to its gradient")]
    [Range(0.0, double.MaxValue)]
    public double WeightDecay { get; init; } = 1e-4;
}

using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Meta.Weighting;

/// <summary>Over what the mean of the weight perturbations <c>[N, K]</c> is subtracted.</summary>
public enum Centring
{
    /// <summary>Over the exits of each sample.</summary>
    Col,

    /// <summary>Over the samples at each exit.</summary>
    Row,

    /// <summary>Over both.</summary>
    Mat,
}

/// <summary>What the weight-prediction network reads of a sample.</summary>
public enum WeightFeatures
{
    /// <summary>Its K cross-entropies.</summary>
    Loss,

    /// <summary>Its K confidences (largest softmax probability).</summary>
    Confidence,

    /// <summary>The cross-entropies, then the confidences: 2K numbers.</summary>
    Both,
}

/// <summary>Where the weights of training samples come from.</summary>
public enum WeightRule
{
    /// <summary>From the weight-prediction network.</summary>
    Predicted,

    /// <summary>By hand (the ablation): more where a sample is allocated to, by the rule for meta samples, and less at the other exits.</summary>
    Fixed,

    /// <summary>Training samples are allocated to exits as meta samples are (the ablation), and count at their own exit only.</summary>
    Allocated,
}

/// <summary>Where meta data come from.</summary>
public enum MetaSource
{
    /// <summary>From the batch itself: each half is the other's meta data (L2W-DEN).</summary>
    Halves,

    /// <summary>From a balanced set that is held out from the training data (Meta-Weight-Net).</summary>
    HeldOut,
}

/// <summary>What the output of the weight-prediction network means.</summary>
public enum WpnOutput
{
    /// <summary>tanh, K numbers of all of a sample's exits: the perturbation of its weights (L2W-DEN).</summary>
    Tanh,

    /// <summary>sigmoid, one number of one exit's own features, by the same network at every exit: the weight, but for its scale (Meta-Weight-Net).</summary>
    Sigmoid,
}

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>How sample weights are learned (Han et al., ECCV 2022).</summary>
public sealed record MetaOptions
{
    [Description("Whether sample weights are learned; without, every weight is 1 and a batch is not cut in halves")]
    public bool Enabled { get; init; } = true;

    [Description("Where the weights of training samples come from; without prediction (fixed, allocated) nothing is learned, but a batch is cut all the same")]
    public WeightRule Weights { get; init; } = WeightRule.Predicted;

    [Description("How the gradient of the meta objective is computed")]
    public MetaGradientMethod Gradient { get; init; } = MetaGradientMethod.Forward;

    [Description("Whether the pass at the parameters is kept during the lookahead (normal) or computed again (low); gradient forward only")]
    public MetaMemory Memory { get; init; } = MetaMemory.Normal;

    [Description("Of several processes: whether each looks ahead by its own shard's gradient (local, as published) or all by their mean (global)")]
    public LookaheadScope Lookahead { get; init; } = LookaheadScope.Local;

    [Description("Exit shares: exit k gets a share proportional to q^k of the meta samples; 1 is uniform, less favours early exits")]
    [Range(0.0, double.MaxValue, MinimumIsExclusive = true)]
    public double Q { get; init; } = 0.75;

    [Description("Which meta samples count at which exit: those allocated to it, or all (vanilla)")]
    public MetaObjectiveKind Objective { get; init; } = MetaObjectiveKind.Allocated;

    [Description("Size of the weights' perturbation: w = 1 + epsilon * centred output of the weight-prediction network")]
    [Range(0.0, double.MaxValue)]
    public double Epsilon { get; init; } = 0.8;

    [Description("Over what the perturbation has mean 0: the exits of a sample (col), the samples at an exit (row), both (mat)")]
    public Centring Centring { get; init; } = Centring.Col;

    [Description("What the weight-prediction network reads of a sample")]
    public WeightFeatures Features { get; init; } = WeightFeatures.Loss;

    [Description("Batches from one update of the weight-prediction network to the next; 0: none, it stays as it was drawn (the ablation)")]
    [Range(0, int.MaxValue)]
    public int Interval { get; init; } = 1;

    [Description("Meta data: the other half of a batch (halves), or a balanced set held out from the training data (heldOut; of predicted weights)")]
    public MetaSource Source { get; init; } = MetaSource.Halves;

    [Description("Images of each class in the held-out meta data (heldOut only)")]
    [Range(1, int.MaxValue)]
    public int PerClass { get; init; } = 10;

    /// <summary>Whether there is a weight-prediction network.</summary>
    public bool Predicts => Enabled && Weights == WeightRule.Predicted;

    /// <summary>Whether a batch is cut in halves.</summary>
    public bool Cuts => Enabled && !HoldsOut;

    /// <summary>Whether meta data are held out.</summary>
    public bool HoldsOut => Predicts && Source == MetaSource.HeldOut;

    public WpnOptions Wpn { get; init; } = new();

    public MetaOptimiserOptions Optimiser { get; init; } = new();
}

/// <summary>The weight-prediction network: an MLP with ReLU hidden layers.</summary>
public sealed record WpnOptions
{
    [Description("Width of each hidden layer of the weight-prediction network, in units")]
    [Range(1, 65536)]
    public int Hidden { get; init; } = 500;

    [Description("Hidden layers of the weight-prediction network")]
    [Range(1, 100)]
    public int Layers { get; init; } = 1;

    [Description("tanh: 1 + epsilon * centred output, of all exits (L2W-DEN); sigmoid: output / mean, of each exit's features (Meta-Weight-Net)")]
    public WpnOutput Output { get; init; } = WpnOutput.Tanh;
}

/// <summary>Adam for the weight-prediction network.</summary>
public sealed record MetaOptimiserOptions
{
    [Description("Adam's learning rate for the weight-prediction network; it follows train.schedule")]
    [Range(0.0, double.MaxValue, MinimumIsExclusive = true)]
    public double Rate { get; init; } = 1e-4;

    [Description("L2 decay of the weight-prediction network, added to its gradient")]
    [Range(0.0, double.MaxValue)]
    public double WeightDecay { get; init; } = 1e-4;
}

using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Imta.MetaWeight.Losses;

/// <summary>Class weighting of the training loss.</summary>
public enum ClassWeighting
{
    /// <summary>Equal weights.</summary>
    None,

    /// <summary>1/n for a class with n training images.</summary>
    InverseFrequency,

    /// <summary>(1 − β)/(1 − βⁿ): the inverse of the effective number of n samples (Cui et al., CVPR 2019).</summary>
    EffectiveNumber,
}

/// <summary>The divisor of the divergence of two class distributions.</summary>
public enum DistillationReduction
{
    /// <summary>The number of samples only: a mean of Kullback-Leibler divergences.</summary>
    BatchMean,

    /// <summary>The number of samples and classes, as in the published code.</summary>
    ElementMean,
}

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>
/// The training loss l of a sample at an exit. Neither the weight-prediction network's input nor the meta objective uses it: their
/// cross-entropies are plain.
/// </summary>
public sealed record LossOptions
{
    [Description("Label smoothing: share of the target spread uniformly over all classes, in the training loss only")]
    [Range(0.0, 1.0, MaximumIsExclusive = true)]
    public double LabelSmoothing { get; init; }

    public DistillationOptions Ofa { get; init; } = new();

    public ClassWeightOptions ClassWeights { get; init; } = new();
}

/// <summary>One-for-all distillation (IMTA; Li et al., ICCV 2019, section 3.3): the last exit teaches those before it.</summary>
public sealed record DistillationOptions
{
    [Description("One-for-all distillation: earlier exits also learn from the last exit's predictions; with two phases, in phase II only")]
    public bool Enabled { get; init; }

    [Description("Weight of the label loss at the exits before the last; the teacher's weight is 1 - alpha")]
    [Range(0.0, 1.0)]
    public double Alpha { get; init; } = 0.9;

    [Description("Temperature T that divides the logits of student and teacher; the divergence is multiplied by T^2")]
    [Range(0.0, double.MaxValue, MinimumIsExclusive = true)]
    public double Temperature { get; init; } = 1;

    [
        Description(
            "Reduction of the divergence: mean over samples (batchMean), or over samples and classes (elementMean, the published code)")
    ]
    public DistillationReduction Reduction { get; init; } = DistillationReduction.BatchMean;
}

/// <summary>Class weights in the training loss, from the numbers of training images; their mean over classes with images is 1.</summary>
public sealed record ClassWeightOptions
{
    [Description("Class weights in the training loss: equal, by inverse frequency, or by the effective number of images")]
    public ClassWeighting Type { get; init; } = ClassWeighting.None;

    [Description("beta in the effective number of images, (1 - beta^n) / (1 - beta) for n images (effectiveNumber only)")]
    [Range(0.0, 1.0, MaximumIsExclusive = true)]
    public double Beta { get; init; } = 0.9999;

    [Description("Share of a phase's epochs before class weights apply (deferred re-weighting, published with 0.8)")]
    [Range(0.0, 1.0, MaximumIsExclusive = true)]
    public double After { get; init; }
}

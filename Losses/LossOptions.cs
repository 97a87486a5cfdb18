using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Imta.MetaWeight.Losses;

/// <summary>How much the classes count in the training loss.</summary>
public enum ClassWeighting
{
    /// <summary>All the same.</summary>
    None,

    /// <summary>By 1/n of a class with n training images.</summary>
    InverseFrequency,

    /// <summary>By (1 − β)/(1 − βⁿ): the inverse of the effective number of n images (Cui et al., CVPR 2019).</summary>
    EffectiveNumber,
}

/// <summary>What the divergence of two distributions over the classes is divided by.</summary>
public enum DistillationReduction
{
    /// <summary>The samples alone: a mean of Kullback-Leibler divergences.</summary>
    BatchMean,

    /// <summary>Samples and classes, as in the published code.</summary>
    ElementMean,
}

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>The training loss l of a sample at an exit. What the weight-prediction network reads and the meta objective stay plain cross-entropy.</summary>
public sealed record LossOptions
{
    [Description("Share of the target that is spread evenly over all classes, in the training loss only")]
    [Range(0.0, 1.0, MaximumIsExclusive = true)]
    public double LabelSmoothing { get; init; }

    public DistillationOptions Ofa { get; init; } = new();

    public ClassWeightOptions ClassWeights { get; init; } = new();
}

/// <summary>One-for-all distillation (IMTA; Li et al., ICCV 2019, section 3.3): the last exit teaches those before it.</summary>
public sealed record DistillationOptions
{
    [Description("One-for-all distillation: exits before the last also learn from the last one's predictions; of two phases, in the second")]
    public bool Enabled { get; init; }

    [Description("Weight of the labels in the loss of the exits before the last; the teacher's is 1 - alpha")]
    [Range(0.0, 1.0)]
    public double Alpha { get; init; } = 0.9;

    [Description("Temperature T by which both predictions' logits are divided; the divergence counts T^2 times")]
    [Range(0.0, double.MaxValue, MinimumIsExclusive = true)]
    public double Temperature { get; init; } = 1;

    [Description("What the divergence is divided by: the samples (batchMean) or samples and classes (elementMean, the published code)")]
    public DistillationReduction Reduction { get; init; } = DistillationReduction.BatchMean;
}

/// <summary>Weights of the classes in the training loss, from the numbers of training images; their mean over the classes is 1.</summary>
public sealed record ClassWeightOptions
{
    [Description("How much each class counts in the training loss: equally, by its inverse frequency, or by its effective number of images")]
    public ClassWeighting Type { get; init; } = ClassWeighting.None;

    [Description("beta of the effective number (1 - beta^n) / (1 - beta) of n images (effectiveNumber only)")]
    [Range(0.0, 1.0, MaximumIsExclusive = true)]
    public double Beta { get; init; } = 0.9999;
}

using System.ComponentModel;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;

namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>
/// The precision in which the backbone computes during training. Parameters, losses, weights, the lookahead and all stored gradients are
/// always float32.
/// </summary>
internal enum Precision
{
    /// <summary>float32.</summary>
    Full,

    /// <summary>float32, but CUDA's tensor cores round their inputs to a 10-bit mantissa (TF32).</summary>
    Tf32,

    /// <summary>Features and the convolutions that read them in bfloat16; evaluation in float32.</summary>
    Bf16,
}

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>The network to train.</summary>
internal sealed record ModelOptions
{
    [Description("Multi-exit backbone")]
    public Choice<Backbone> Backbone { get; init; } = new(Registries.Backbones);

    [Description("Parameter initialisation: He as in the papers, or what the published code effectively does")]
    public Initialisation Initialisation { get; init; } = Initialisation.He;

    [Description(
        "Precision of the backbone's features and convolutions: float32 (full), with TF32 products on CUDA (tf32), or bfloat16 in "
        + "training (bf16)")]
    public Precision Precision { get; init; } = Precision.Full;

    /// <summary>K.</summary>
    public int Exits() => Backbone.Value.Exits(Backbone.Options);

    /// <summary>The element type of features in training; null: the parameters' type.</summary>
    internal ScalarType? FeatureType => Precision == Precision.Bf16 ? ScalarType.BFloat16 : null;

    /// <summary>The group of keys that configures the backbone.</summary>
    internal string Group => $"model.{Backbone.Name}";
}

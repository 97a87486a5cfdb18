using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Msd;
using Imta.MetaWeight.Backbones.Ra;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>
/// The entries that settings can name, one per line. A program that extends this one adds its own before anything reads a setting; after
/// that, <see cref="Registry{T}.Add"/> throws.
/// </summary>
internal static class Registries
{
    /// <summary>The values of <c>model.backbone</c>, the default first.</summary>
    public static Registry<Backbone> Backbones { get; } = new("backbone", backbone => backbone.Name, backbone => backbone.DefaultOptions())
    {
        MsdNet.Backbone,
        RaNet.Backbone,
    };

    /// <summary>The values of <c>meta.weights</c>, the default first.</summary>
    public static Registry<WeightingMethod> Weightings { get; }
        = new("weighting method", method => method.Name, method => method.DefaultOptions())
        {
            WeightingMethod.Predicted,
            WeightingMethod.Fixed,
            WeightingMethod.Allocated,
        };

    /// <summary>The values of <c>modifiers.combination</c>, the default first.</summary>
    public static Registry<CombinationMethod> Combinations { get; }
        = new("combination of gradients", method => method.Name, method => method.DefaultOptions())
        {
            CombinationMethod.Sum,
            CombinationMethod.PcGrad,
            CombinationMethod.CaGrad,
            CombinationMethod.NashMtl,
            CombinationMethod.DynamicWeightAverage,
            CombinationMethod.Uncertainty,
            CombinationMethod.GradNorm,
            CombinationMethod.LossEqual,
            CombinationMethod.Last,
        };
}

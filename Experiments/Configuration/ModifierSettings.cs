using System.ComponentModel;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Meta.Fusion;
using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Experiments.Configuration;

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>Changes to the network's graph, and how the gradients of its exits are combined.</summary>
internal sealed record ModifierSettings : ModifierOptions
{
    [Description(
        "How the exits' gradients are combined into one update direction; all but sum require weights that are not learned")]
    public Choice<CombinationMethod> Combination { get; init; } = new(Registries.Combinations);

    public MetaGfOptions MetaGf { get; init; } = new();

    /// <summary>The combination that the settings describe (<see cref="CombinationMethod.Build"/>).</summary>
    public IGradientCombination Combine(Func<long, Generator> random)
        => Combination.Value.Build(Combination.Options, random);
}

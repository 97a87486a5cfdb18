using System.ComponentModel;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Experiments.Configuration;

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>Whether and by which method training samples are weighted.</summary>
internal sealed record MetaSettings : MetaOptions
{
    [Description("Whether training samples are weighted; if not, every weight is 1 and batches are not split into halves")]
    public bool Enabled { get; init; } = true;

    [Description("Where the weights of training samples come from; without prediction (fixed, allocated) nothing is learned, but batches "
        + "are still split")]
    public Choice<WeightingMethod> Weights { get; init; } = new(Registries.Weightings);

    /// <summary>Whether weights are learned from meta data.</summary>
    public bool Learns => Enabled && Weights.Value.Learns;

    /// <summary>Whether a batch is split into halves.</summary>
    public bool SplitsBatch => Enabled && Weights.Value.CutsBatch(Weights.Options, this);

    /// <summary>Whether meta data are held out.</summary>
    public bool UsesHeldOutData => Learns && Source == MetaSource.HeldOut;

    /// <summary>The weighting that the settings describe (<see cref="WeightingMethod.Build"/>).</summary>
    public ISampleWeighting Build(MultiExitNetwork backbone, Generator random)
        => Enabled ? Weights.Value.Build(Weights.Options, this, backbone, random) : new UniformWeighting();
}

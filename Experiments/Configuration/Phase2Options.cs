using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Meta.Optimisers;

namespace Imta.MetaWeight.Experiments.Configuration;

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>IMTA's phase II, in which the network of phase I is frozen; unset keys default to those of <c>train</c>.</summary>
internal sealed record Phase2Options : TrainOptions
{
    [Description("Run or checkpoint whose network phase II starts from instead of training phase I; its model settings must match")]
    [RegularExpression(@"[^\p{Cc}]+", ErrorMessage = "the folder of a run, or a checkpoint")]
    public string? From { get; init; }

    [Description(
        "How batch norm behaves in the frozen network: by the running statistics of phase I (fixed), or by the batch, moving "
        + "them (the published code)")]
    public FrozenNorm FrozenNorm { get; init; } = FrozenNorm.Fixed;

    [Description("Epochs of phase II; 0: a single phase, which includes ISC and OFA")]
    [Range(0, 1_000_000)]
    public override int Epochs { get; init; }
}

using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Meta.Optimisers;

namespace Imta.MetaWeight.Experiments.Configuration;

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>IMTA's phase II, in which the network of phase I is frozen; what is not given is as in <c>train</c>.</summary>
internal sealed record Phase2Options : TrainOptions
{
    [Description("Run or checkpoint whose network phase II takes, instead of training phase I first; its model settings have to be these")]
    [RegularExpression(@"[^\p{Cc}]+", ErrorMessage = "the folder of a run, or a checkpoint")]
    public string? From { get; init; }

    [Description(
        "How batch norm behaves in the frozen network: by the running statistics of phase I (fixed), or by the batch, moving "
        + "them (the published code)")]
    public FrozenNorm FrozenNorm { get; init; } = FrozenNorm.Fixed;

    [Description("Passes over the training images in phase II; 0: there is one phase, and ISC and OFA are in it")]
    [Range(0, 1_000_000)]
    public override int Epochs { get; init; }
}

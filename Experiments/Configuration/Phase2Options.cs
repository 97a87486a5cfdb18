using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Meta.Optimisers;

namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>What the two phases of a run train.</summary>
internal enum PhaseTwoRegime
{
    /// <summary>The network, then new layers of its exits, while all else is frozen (IMTA).</summary>
    Frozen,

    /// <summary>The network with the last exit's loss alone, then all of it with all exits' losses (Kubaty et al., ICML 2025).</summary>
    Mixed,
}

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>Phase II of a run, which continues with the network of phase I; unset keys default to those of <c>train</c>.</summary>
internal sealed record Phase2Options : TrainOptions
{
    [Description("Run or checkpoint whose network phase II starts from instead of training phase I; its model settings must match")]
    [RegularExpression(@"[^\p{Cc}]+", ErrorMessage = "the folder of a run, or a checkpoint")]
    public string? From { get; init; }

    [Description(
        "What phase II trains: new layers on the frozen network (frozen: IMTA), or the whole network, which phase I trains with the last "
        + "exit's loss alone (mixed)")]
    public PhaseTwoRegime Regime { get; init; } = PhaseTwoRegime.Frozen;

    [Description(
        "Batch norm in the frozen network: running statistics of phase I (fixed), or batch statistics, which also update the "
        + "running ones (moving; the published code)")]
    public FrozenNorm FrozenNorm { get; init; } = FrozenNorm.Fixed;

    [Description("Epochs of phase II; 0: a single phase, which includes ISC and OFA")]
    [Range(0, 1_000_000)]
    public override int Epochs { get; init; }
}

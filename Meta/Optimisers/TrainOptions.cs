using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Imta.MetaWeight.Backbones;

namespace Imta.MetaWeight.Meta.Optimisers;

/// <summary>How the learning rates fall; both are set for every batch.</summary>
public enum RateScheduleKind
{
    /// <summary>Half a cosine from the first rate to 0.</summary>
    Cosine,

    /// <summary>Times <c>decay</c> at every milestone.</summary>
    MultiStep,
}

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>How the backbone is trained: stochastic gradient descent with momentum.</summary>
public record TrainOptions
{
    [Description("Passes over the training images")]
    [Range(1, 1_000_000)]
    public virtual int Epochs { get; init; } = 300;

    [Description("Images a batch; with meta.enabled it is cut in two halves, each the other's meta data, and must be 4 at least")]
    [Range(2, 1_000_000)]
    public int Batch { get; init; } = 1024;

    [Description("Learning rate at the start")]
    [Range(0.0, double.MaxValue, MinimumIsExclusive = true)]
    public double Rate { get; init; } = 0.8;

    [Description("How the rates fall: half a cosine to 0, or a factor at each milestone")]
    public RateScheduleKind Schedule { get; init; } = RateScheduleKind.Cosine;

    [Description("Epochs after which the rates are multiplied by decay, ascending (multiStep only)")]
    [Range(1, int.MaxValue)]
    public IReadOnlyList<int> Milestones { get; init => field = IntList.From(value); } = IntList.From([150, 225]);

    [Description("Factor on the rates at each milestone (multiStep only)")]
    [Range(0.0, 1.0, MinimumIsExclusive = true)]
    public double Decay { get; init; } = 0.1;

    [Description("Momentum of SGD")]
    [Range(0.0, 1.0, MaximumIsExclusive = true)]
    public double Momentum { get; init; } = 0.9;

    [Description("Dampening of the gradient in the momentum buffer")]
    [Range(0.0, 1.0)]
    public double Dampening { get; init; }

    [Description("Nesterov momentum; needs momentum > 0 and dampening 0")]
    public bool Nesterov { get; init; }

    [Description("L2 decay of every parameter, added to its gradient")]
    [Range(0.0, double.MaxValue)]
    public double WeightDecay { get; init; } = 1e-4;
}

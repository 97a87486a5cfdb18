using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Imta.MetaWeight.Backbones;

namespace Imta.MetaWeight.Meta.Optimisers;

/// <summary>Learning-rate schedule; both rates are updated every batch.</summary>
public enum RateScheduleKind
{
    /// <summary>Cosine decay from the initial rate to 0.</summary>
    Cosine,

    /// <summary>Multiplied by <c>decay</c> at every milestone.</summary>
    MultiStep,
}

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>How the backbone is trained: stochastic gradient descent with momentum.</summary>
public record TrainOptions
{
    [Description("Number of epochs")]
    [Range(1, 1_000_000)]
    public virtual int Epochs { get; init; } = 300;

    [Description("Batch size; with meta.enabled and meta.source=halves, each batch is split into two halves that serve as each other's "
        + "meta data, and the size must be at least 4")]
    [Range(2, 1_000_000)]
    public int Batch { get; init; } = 1024;

    [Description("Initial learning rate")]
    [Range(0.0, double.MaxValue, MinimumIsExclusive = true)]
    public double Rate { get; init; } = 0.8;

    [Description("Learning-rate schedule: cosine decay to 0, or a factor at each milestone")]
    public RateScheduleKind Schedule { get; init; } = RateScheduleKind.Cosine;

    [Description("Epochs after which the learning rates are multiplied by decay, in ascending order (multiStep only)")]
    [Range(1, int.MaxValue)]
    public IReadOnlyList<int> Milestones { get; init => field = IntList.From(value); } = IntList.From([150, 225]);

    [Description("Factor applied to the learning rates at each milestone (multiStep only)")]
    [Range(0.0, 1.0, MinimumIsExclusive = true)]
    public double Decay { get; init; } = 0.1;

    [Description("Warm-up epochs over which the learning rates rise linearly to the schedule's; 0: none")]
    [Range(0, 1_000_000)]
    public int Warmup { get; init; }

    [Description("SGD momentum")]
    [Range(0.0, 1.0, MaximumIsExclusive = true)]
    public double Momentum { get; init; } = 0.9;

    [Description("Dampening of the momentum")]
    [Range(0.0, 1.0)]
    public double Dampening { get; init; }

    [Description("Nesterov momentum; needs momentum > 0 and dampening 0")]
    public bool Nesterov { get; init; }

    [Description("L2 weight decay of every parameter, added to its gradient")]
    [Range(0.0, double.MaxValue)]
    public double WeightDecay { get; init; } = 1e-4;
}

/// <summary>The factor on both learning rates at each batch; the two halves of a batch share it.</summary>
public static class RateSchedule
{
    /// <summary>
    /// Cosine: (1 + cos(π t/T))/2 after t of the run's T batches. Multi-step: decay to the power of the number of milestones passed. Either
    /// is multiplied by min(1, (t + 1)/W) with W batches of warm-up (Goyal et al., 2017, section 2.2).
    /// </summary>
    /// <param name="options">Schedule, epochs, milestones, decay, warm-up.</param>
    /// <param name="epoch">From 0.</param>
    /// <param name="batch">Within the epoch, from 0.</param>
    /// <param name="batches">Batches per epoch.</param>
    public static double Factor(TrainOptions options, int epoch, int batch, int batches)
    {
        double done = ((double)epoch * batches) + batch;
        double scheduled = options.Schedule switch
        {
            RateScheduleKind.Cosine => 0.5 * (1 + Math.Cos(Math.PI * done / ((double)options.Epochs * batches))),
            _ => Math.Pow(options.Decay, options.Milestones.Count(milestone => milestone <= epoch)),
        };
        return epoch < options.Warmup ? scheduled * (done + 1) / ((double)options.Warmup * batches) : scheduled;
    }
}

namespace Imta.MetaWeight.Meta.Optimisers;

/// <summary>The factor on both learning rates at each batch; one batch's two parts share it.</summary>
public static class RateSchedule
{
    /// <summary>
    /// Cosine: (1 + cos(π t/T))/2 with t the batches done of T in the whole run. Multi-step: decay to the power of the milestones passed.
    /// </summary>
    /// <param name="options">Schedule, epochs, milestones, decay.</param>
    /// <param name="epoch">From 0.</param>
    /// <param name="batch">From 0, in the epoch.</param>
    /// <param name="batches">Batches of an epoch.</param>
    public static double Factor(TrainOptions options, int epoch, int batch, int batches) => options.Schedule switch
    {
        RateScheduleKind.Cosine => 0.5 * (1 + Math.Cos(Math.PI * (((double)epoch * batches) + batch) / ((double)options.Epochs * batches))),
        _ => Math.Pow(options.Decay, options.Milestones.Count(milestone => milestone <= epoch)),
    };
}

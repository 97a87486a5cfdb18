namespace Imta.MetaWeight.Meta.Optimisers;

/// <summary>The factor on both learning rates at each batch; the two half batches of a batch share it.</summary>
public static class RateSchedule
{
    /// <summary>
    /// Cosine: (1 + cos(π t/T))/2 with t of the run's T batches done. Multi-step: decay to the power of the milestones passed. Either times
    /// min(1, (t + 1)/W) with W batches of warm-up (Goyal et al., 2017, section 2.2).
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

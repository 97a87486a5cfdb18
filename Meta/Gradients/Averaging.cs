using System.Diagnostics;

namespace Imta.MetaWeight.Meta.Gradients;

/// <summary>
/// The mean of gradients over the processes that train together, weighted by their numbers of samples: from gradients of means over the
/// shards of a batch, the gradient of the mean over all of it. Every process must make the same calls in the same order.
/// </summary>
/// <param name="gradients">This process's gradients; null: no gradient, in any process.</param>
/// <param name="samples">Number of samples in its shard.</param>
/// <returns>One per gradient, in the current dispose scope, detached.</returns>
public delegate IReadOnlyList<Tensor?> Averaging(IReadOnlyList<Tensor?> gradients, long samples);

/// <summary>Averages over processes, if there are several.</summary>
public static class AveragingExtensions
{
    /// <summary>The mean; with a single process the gradients themselves.</summary>
    /// <param name="averaging">Averages over processes; null: single-process training.</param>
    /// <param name="gradients">This process's gradients; null: no gradient, in any process.</param>
    /// <param name="samples">Number of samples in its shard.</param>
    /// <returns>One per gradient, of its shape.</returns>
    public static IReadOnlyList<Tensor?> Mean(this Averaging? averaging, IReadOnlyList<Tensor?> gradients, long samples)
    {
        if (averaging is null)
        {
            return gradients;
        }

        using Activity? phase = StepPhases.Start(StepPhases.Averaging);
        return averaging(gradients, samples);
    }
}

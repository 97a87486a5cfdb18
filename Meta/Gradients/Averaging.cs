using System.Diagnostics;

namespace Imta.MetaWeight.Meta.Gradients;

/// <summary>
/// The mean of gradients over the processes that train together, each counting by its samples: of gradients of means over the shards of a
/// batch, the gradient of the mean over all of it. Every process calls it in the same order.
/// </summary>
/// <param name="gradients">This process's; null: no gradient, in any process.</param>
/// <param name="samples">Samples of its shard.</param>
/// <returns>One for each, in the open dispose scope, without history.</returns>
public delegate IReadOnlyList<Tensor?> Averaging(IReadOnlyList<Tensor?> gradients, long samples);

internal static class AveragingExtensions
{
    /// <summary>The mean; without other processes the gradients themselves.</summary>
    public static IReadOnlyList<Tensor?> Mean(this Averaging? averaging, IReadOnlyList<Tensor?> gradients, long samples)
    {
        if (averaging is null)
        {
            return gradients;
        }

        using Activity? phase = Phases.Start(Phases.Averaging);
        return averaging(gradients, samples);
    }
}

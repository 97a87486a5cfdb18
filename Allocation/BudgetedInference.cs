namespace Imta.MetaWeight.Allocation;

/// <summary>
/// Budgeted batch classification (MSDNet, section 3; also used by IMTA and L2W-DEN): thresholds at which given numbers of held-out
/// samples leave at each exit, and where other samples leave under them. Many budgets at once.
/// </summary>
/// <remarks>Shapes: <c>N</c> samples, <c>K</c> exits, <c>P</c> budgets. As published, everything is float32.</remarks>
public static class BudgetedInference
{
    /// <summary>A threshold that no score reaches.</summary>
    public const float Never = 1e8f;

    /// <summary>The threshold of the last exit, where every sample leaves.</summary>
    public const float Always = -1e8f;

    /// <summary>
    /// The published search. At exit k the threshold is the score of the quota's last sample among those that have not left earlier.
    /// Samples with equal scores leave together, so more than the quota may leave; where the quota is 0, or more than remain, none leave.
    /// </summary>
    /// <param name="scores">float32 <c>[N, K]</c>, of held-out samples; finite.</param>
    /// <param name="quotas">P lists of K numbers of samples (<see cref="ExitShares.Quotas"/>).</param>
    /// <returns>float32 <c>[P, K]</c>.</returns>
    public static Tensor Thresholds(Tensor scores, IReadOnlyList<int[]> quotas)
    {
        using DisposeScope scope = NewDisposeScope();
        (long samples, int exits, long points) = (scores.shape[0], (int)scores.shape[1], quotas.Count);
        Tensor all = tensor(quotas.SelectMany(point => point).ToArray(), [points, exits], int32, scores.device);
        Tensor free = ones([points, samples], ScalarType.Bool, scores.device);
        Tensor never = full([points], Held(Never), scores.dtype, scores.device);
        var thresholds = new Tensor[exits];
        for (int k = 0; k < exits - 1; k++)
        {
            using DisposeScope step = NewDisposeScope();
            Tensor quota = all.narrow(1, k, 1); // [P, 1]
            Tensor own = scores.select(1, k); // [N]
            (Tensor falling, Tensor order) = own.sort(0, descending: true, stable: true);
            Tensor rank = free.index_select(1, order).cumsum(1, int32); // of the free samples [P, N]
            Tensor index = rank.lt(quota).to_type(int32).sum(1, type: int64); // index of the quota's last sample; N if there are fewer [P]
            Tensor found = index.lt(Held(samples)).logical_and(quota.select(1, 0).gt(Held(0)));
            thresholds[k] = where(found, falling.index_select(0, index.clamp(max: Held(samples - 1))), never);
            free = free.logical_and(own.lt(thresholds[k].unsqueeze(1)));
            step.MoveToOuter(thresholds[k]);
            step.MoveToOuter(free);
        }

        thresholds[^1] = full([points], Held(Always), scores.dtype, scores.device);
        return scope.MoveToOuter(stack(thresholds, 1));
    }

    /// <summary>How many samples leave at each exit under each list of thresholds, and how many of these are predicted correctly.</summary>
    /// <param name="scores">float32 <c>[N, K]</c>.</param>
    /// <param name="correct">bool <c>[N, K]</c>: whether the exit's prediction is correct.</param>
    /// <param name="thresholds">float32 <c>[P, K]</c>.</param>
    /// <returns>P outcomes.</returns>
    public static BudgetedOutcome[] Apply(Tensor scores, Tensor correct, Tensor thresholds)
    {
        using DisposeScope scope = NewDisposeScope();
        (long samples, int exits, int points) = (scores.shape[0], (int)scores.shape[1], (int)thresholds.shape[0]);
        Tensor free = ones([points, samples], ScalarType.Bool, scores.device);
        var counts = new Tensor[exits]; // [P, 2]: samples that leave, and how many of them are correct
        for (int k = 0; k < exits; k++)
        {
            using DisposeScope step = NewDisposeScope();
            Tensor reached = scores.select(1, k).ge(thresholds.narrow(1, k, 1)); // [P, N]
            Tensor leaving = free.logical_and(reached).to_type(float32);
            Tensor counted = stack([ones([samples], float32, scores.device), correct.select(1, k).to_type(float32)], 1); // [N, 2]
            counts[k] = leaving.matmul(counted);
            free = free.logical_and(reached.logical_not());
            step.MoveToOuter(counts[k]);
            step.MoveToOuter(free);
        }

        float[] numbers = stack(counts, 1).cpu().data<float>().ToArray(); // [P, K, 2]; float32 holds whole numbers up to 2^24
        return [.. Enumerable.Range(0, points).Select(p => new BudgetedOutcome(
            [.. Enumerable.Range(0, exits).Select(k => (long)numbers[2 * ((p * exits) + k)])],
            [.. Enumerable.Range(0, exits).Select(k => (long)numbers[(2 * ((p * exits) + k)) + 1])]))];
    }
}

/// <summary>Where the samples of a set leave, and how many of them are predicted correctly.</summary>
/// <param name="Leaving">Samples that leave at each exit, K numbers.</param>
/// <param name="Correct">How many of them are predicted correctly, K numbers.</param>
public sealed record BudgetedOutcome(IReadOnlyList<long> Leaving, IReadOnlyList<long> Correct)
{
    /// <summary>N.</summary>
    public long Samples => Leaving.Sum();

    /// <summary>Share of samples that are predicted correctly.</summary>
    public double Accuracy => (double)Correct.Sum() / Samples;

    /// <summary>The share of samples that leave at each exit, K numbers.</summary>
    public IReadOnlyList<double> Shares => [.. Leaving.Select(count => (double)count / Samples)];

    /// <summary>Mean multiply-adds per sample.</summary>
    /// <param name="macs">Multiply-adds of a prediction at each exit, K numbers.</param>
    public float MeanMacs(IReadOnlyList<long> macs)
    {
        float mean = 0; // summed in the published order
        for (int k = 0; k < macs.Count; k++)
        {
            float share = (float)Leaving[k] / Samples;
            mean += share * macs[k];
        }

        return mean;
    }
}

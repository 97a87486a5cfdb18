namespace Imta.MetaWeight.Allocation;

/// <summary>
/// Allocates every meta sample to one exit (L2W-DEN, section 3.3): exit 1 takes the samples it is most confident of, exit 2 those of the
/// rest that it is most confident of, and so on; the last exit takes the remaining ones.
/// </summary>
/// <remarks>Shapes: <c>M</c> meta samples, <c>K</c> exits. The loop over exits does not synchronise with the device.</remarks>
public static class MetaAllocation
{
    /// <summary>The exit of each sample, int64 <c>[M]</c> of 0 … K − 1. Ties are broken in favour of earlier samples.</summary>
    /// <param name="confidence"><c>[M, K]</c>.</param>
    /// <param name="quotas">K numbers of samples that sum to M.</param>
    /// <exception cref="ArgumentException">The quotas do not match the confidences.</exception>
    public static Tensor Exits(Tensor confidence, IReadOnlyList<int> quotas)
    {
        long samples = confidence.shape[0];
        if (confidence.shape[1] != quotas.Count || quotas.Sum() != samples)
        {
            throw new ArgumentException($"{quotas.Count} quotas summing to {quotas.Sum()} do not match confidences of {samples} samples "
                + $"at {confidence.shape[1]} exits.", nameof(quotas));
        }

        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        int last = quotas.Count - 1;
        Tensor exits = full([samples], Held(last), int64, confidence.device); // [M]
        for (int k = 0; k < last; k++)
        {
            if (quotas[k] == 0)
            {
                continue;
            }

            Tensor free = exits.eq(Held(last)); // [M]
            Tensor candidates = confidence.select(1, k).masked_fill(free.logical_not(), Held(double.NegativeInfinity)); // [M]
            Tensor chosen = candidates.sort(0, descending: true, stable: true).Indices.narrow(0, 0, quotas[k]); // [quota]
            exits.scatter_(0, chosen, full([quotas[k]], Held(k), int64, confidence.device));
        }

        return exits.MoveToOuterDisposeScope();
    }

    /// <summary>
    /// The weight of each sample at each exit in the meta objective, <c>[M, K]</c>: 1/|X⁽ᵏ⁾| at its own exit, 0 elsewhere. The objective
    /// Σ_k mean over X⁽ᵏ⁾ of CE is then ⟨weights, CE⟩; an exit without samples contributes nothing.
    /// </summary>
    /// <param name="exits">The exit of each sample, <c>[M]</c>.</param>
    /// <param name="quotas">K numbers of samples, as given to <see cref="Exits"/>.</param>
    /// <param name="type">The weights' element type.</param>
    public static Tensor Weights(Tensor exits, IReadOnlyList<int> quotas, ScalarType type)
    {
        using DisposeScope scope = NewDisposeScope();
        double[] perSample = [.. quotas.Select(quota => quota == 0 ? 0.0 : 1.0 / quota)];
        Tensor ofExit = tensor(perSample, type, exits.device).index_select(0, exits).unsqueeze(1); // [M, 1]
        // [M, K]
        return zeros([exits.shape[0], quotas.Count], type, exits.device).scatter_(1, exits.unsqueeze(1), ofExit).MoveToOuterDisposeScope();
    }
}

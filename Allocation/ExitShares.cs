namespace Imta.MetaWeight.Allocation;

/// <summary>The share of samples that each exit answers: q_k ∝ q^k, k = 1 … K, normalised (L2W-DEN, section 3.3; MSDNet's budgeted evaluation).</summary>
/// <remarks>float32 throughout, as the published code has it: a quota is the floor of a product, which float64 would sometimes put on the other side.</remarks>
public static class ExitShares
{
    /// <summary>The K shares, which sum to 1.</summary>
    /// <param name="q">Less than 1 favours early exits, 1 is uniform. The published <c>target_p_index</c> p is q = p/20.</param>
    /// <param name="exits">K.</param>
    /// <exception cref="ArgumentOutOfRangeException">
    /// <paramref name="q"/> is not positive and finite, or so small or large that float32 cannot hold its powers; or there is no exit.
    /// </exception>
    public static float[] Of(double q, int exits)
    {
        if (!(q > 0) || double.IsInfinity(q))
        {
            throw new ArgumentOutOfRangeException(nameof(q), q, "the exit shares need a positive q");
        }

        ArgumentOutOfRangeException.ThrowIfLessThan(exits, 1);
        using DisposeScope scope = NewDisposeScope();
        Tensor powers = full([1], (float)q).log().mul(arange(1, exits + 1, float32)).exp(); // [K]
        float[] shares = powers.div(powers.sum()).data<float>().ToArray();
        return shares.All(float.IsFinite)
            ? shares
            : throw new ArgumentOutOfRangeException(nameof(q), q, $"the exit shares need a positive q with powers 1 to {exits} that float32 can hold");
    }

    /// <summary>How many of <paramref name="samples"/> each exit takes: floor(samples · share), the last exit all that remain.</summary>
    /// <param name="shares">K shares.</param>
    /// <param name="samples">M.</param>
    public static int[] Quotas(IReadOnlyList<float> shares, long samples)
    {
        var quotas = new int[shares.Count];
        int left = checked((int)samples);
        for (int k = 0; k < quotas.Length - 1; k++)
        {
            quotas[k] = Math.Min(left, (int)MathF.Floor(samples * shares[k]));
            left -= quotas[k];
        }

        quotas[^1] = left;
        return quotas;
    }
}

namespace Imta.MetaWeight.Allocation;

/// <summary>
/// The share of samples that each exit classifies: q_k ∝ q^k, k = 1 … K, normalised (L2W-DEN, section 3.3; MSDNet's budgeted evaluation).
/// </summary>
/// <remarks>
/// float32 throughout, as in the published code: a quota is the floor of a product, which float64 would sometimes round differently. For
/// the same reason functions and sums round as in PyTorch 1.13, with which its reference values were computed, on any processor and with
/// any libtorch.
/// </remarks>
public static class ExitShares
{
    /// <summary>The K shares, which sum to 1.</summary>
    /// <param name="q">Values below 1 favour early exits, 1 is uniform. The published <c>target_p_index</c> p is q = p/20.</param>
    /// <param name="exits">K.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="q"/> is not positive and finite in float32, one of its powers or
    /// their sum overflows float32, or there is no exit.</exception>
    public static float[] FromQ(double q, int exits)
    {
        if (!(q > 0) || double.IsInfinity(q))
        {
            throw new ArgumentOutOfRangeException(nameof(q), q, "the exit shares need a positive q");
        }

        ArgumentOutOfRangeException.ThrowIfLessThan(exits, 1);
        float logarithm = (float)Math.Log((float)q);
        float[] powers = [.. Enumerable.Range(1, exits).Select(k => Exp(logarithm * k))];
        float sum = Sum(powers);
        float[] shares = Array.ConvertAll(powers, power => power / sum);
        return float.IsFinite(sum) && shares.All(float.IsFinite)
            ? shares
            : throw new ArgumentOutOfRangeException(
                nameof(q), q, $"the exit shares need a positive q whose powers 1 to {exits} and their sum are in the range of float32");
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

    /// <summary>
    /// eˣ as in PyTorch's vectorised implementation: x − n ln 2 in two steps, a polynomial of degree 7, times 2ⁿ; within one unit in the
    /// last place.
    /// </summary>
    private static float Exp(float x)
    {
        const float Log2High = 0.693145751953125f, Log2Low = 1.42860677e-06f;
        float n = MathF.Round(x * 1.442695f), r = MathF.FusedMultiplyAdd(n, -Log2Low, MathF.FusedMultiplyAdd(n, -Log2High, x));
        float p = 0.00019852762f;
        foreach (float coefficient in (ReadOnlySpan<float>)[0.0013930436f, 0.00833336077f, 0.041666485f, 0.16666667f, 0.5f])
        {
            p = MathF.FusedMultiplyAdd(p, r, coefficient);
        }

        return (float)Math.ScaleB(1f + MathF.FusedMultiplyAdd(r * r, p, r), (int)n);
    }

    /// <summary>In four interleaved partial sums, as PyTorch adds up a few numbers; the remainder goes to the first.</summary>
    private static float Sum(ReadOnlySpan<float> values)
    {
        Span<float> sums = stackalloc float[4];
        int whole = values.Length / sums.Length * sums.Length;
        for (int k = 0; k < values.Length; k++)
        {
            sums[k < whole ? k % sums.Length : 0] += values[k];
        }

        return sums[0] + sums[1] + sums[2] + sums[3];
    }
}

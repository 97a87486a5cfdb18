namespace Imta.MetaWeight.Experiments.Verification;

/// <summary>An allocation in the format of the published code.</summary>
internal static class Selections
{
    /// <summary>
    /// For each exit the samples allocated to it, most confident first, ties by index, padded with −1 to M: K · M numbers.
    /// </summary>
    /// <param name="exits">The exit of each sample, <c>[M]</c>.</param>
    /// <param name="confidence"><c>[M, K]</c>.</param>
    public static long[] InOrder(Tensor exits, Tensor confidence)
    {
        using DisposeScope scope = NewDisposeScope();
        long[] exitOf = exits.cpu().ToArray<long>();
        Tensor onHost = confidence.cpu();
        return [.. Enumerable.Range(0, (int)confidence.shape[1]).SelectMany(k => OfExit(k, exitOf, onHost.select(1, k).ToArray<double>()))];
    }

    private static IEnumerable<long> OfExit(int k, long[] exitOf, double[] confidence)
    {
        long[] taken =
        [
            .. Enumerable.Range(0, exitOf.Length).Where(i => exitOf[i] == k).OrderByDescending(i => confidence[i]).Select(i => (long)i),
        ];
        return taken.Concat(Enumerable.Repeat(-1L, exitOf.Length - taken.Length));
    }
}

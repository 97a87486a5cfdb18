namespace Imta.MetaWeight.Losses;

/// <summary>Class weights computed from the number of training images per class.</summary>
public static class ClassWeights
{
    /// <summary>
    /// The weights, scaled to a mean of 1 over the classes that have images; a class without images gets 0.
    /// </summary>
    /// <param name="options">The rule.</param>
    /// <param name="counts">Training images per class.</param>
    /// <returns>C weights.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A count is negative, all are 0, or β is outside [0, 1).</exception>
    public static double[] Compute(ClassWeightOptions options, IReadOnlyList<long> counts)
    {
        if (counts.Any(count => count < 0) || counts.All(count => count == 0))
        {
            throw new ArgumentOutOfRangeException(
                nameof(counts), string.Join(' ', counts), "class weights need non-negative image counts, at least one of them positive");
        }

        double[] raw = [.. counts.Select(count => count == 0 ? 0 : WeightOf(options, count))];
        double scale = raw.Count(weight => weight > 0) / raw.Sum();
        return [.. raw.Select(weight => weight * scale)];
    }

    private static double WeightOf(ClassWeightOptions options, long count)
    {
        if (options.Type != ClassWeighting.EffectiveNumber)
        {
            return options.Type == ClassWeighting.InverseFrequency ? 1.0 / count : 1;
        }

        ArgumentOutOfRangeException.ThrowIfNegative(options.Beta, nameof(options));
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(options.Beta, 1, nameof(options));
        return (1 - options.Beta) / (1 - Math.Pow(options.Beta, count));
    }
}

namespace Imta.MetaWeight.Losses;

/// <summary>A weight for each class, from its number of training images.</summary>
public static class ClassWeights
{
    /// <summary>
    /// The weights, scaled to a mean of 1 over the classes that have images; a class without images, which no label names, has 0.
    /// </summary>
    /// <param name="options">The rule.</param>
    /// <param name="counts">Training images of each class.</param>
    /// <returns>C weights.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A negative count, no positive one, or β outside [0, 1).</exception>
    public static double[] Of(ClassWeightOptions options, IReadOnlyList<long> counts)
    {
        if (counts.Any(count => count < 0) || counts.All(count => count == 0))
        {
            throw new ArgumentOutOfRangeException(nameof(counts), string.Join(' ', counts), "class weights need counts of images, at least one of them positive");
        }

        double[] raw = [.. counts.Select(count => count == 0 ? 0 : OfClass(options, count))];
        double scale = raw.Count(weight => weight > 0) / raw.Sum();
        return [.. raw.Select(weight => weight * scale)];
    }

    private static double OfClass(ClassWeightOptions options, long count)
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

using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Experiments.Data;

/// <summary>Class-imbalanced training sets derived from balanced ones, like long-tailed CIFAR (Cui et al., CVPR 2019).</summary>
internal static class ImbalancedClasses
{
    /// <summary>
    /// The number of training images of each class, by label: with μ = 1/factor and the i-th of C classes in their order,
    /// ⌊n_max · μ^(i/(C−1))⌋ (exponential), or n_max for the first ⌊C/2⌋ and ⌊n_max · μ⌋ for the others (step).
    /// </summary>
    /// <param name="options">The profile.</param>
    /// <param name="largest">n_max, the images of the largest class.</param>
    /// <param name="order">Position i of each class in the order, C numbers.</param>
    public static long[] Counts(ImbalanceOptions options, long largest, IReadOnlyList<long> order)
    {
        double smallest = 1 / options.Factor;
        int classes = order.Count;
        return [.. order.Select(i => (long)(largest * (options.Type switch
        {
            ImbalanceProfile.Exponential => Math.Pow(smallest, i / (classes - 1.0)),
            ImbalanceProfile.Step => i < classes / 2 ? 1 : smallest,
            _ => 1,
        })))];
    }

    /// <summary>Position of each class in the order of sizes, the largest class 0.</summary>
    /// <param name="order">The rule.</param>
    /// <param name="classes">The number of classes C.</param>
    /// <param name="seed">The run's seed.</param>
    public static long[] Order(ClassOrder order, int classes, long seed)
    {
        using DisposeScope scope = NewDisposeScope();
        using Generator random = SeedSequence.Generator(seed, SeedSequence.ClassOrder);
        return order == ClassOrder.Index
            ? [.. Enumerable.Range(0, classes).Select(label => (long)label)]
            : randperm(classes, ScalarType.Int64, generator: random).ToArray<long>();
    }

    /// <summary>
    /// The rows to keep, ascending. n_max is the size of the largest class; a class with fewer images than its quota keeps all. For one
    /// seed, the images a larger factor keeps are a subset of those a smaller one keeps.
    /// </summary>
    /// <param name="labels">The class of each row.</param>
    /// <param name="classes">The number of classes C.</param>
    /// <param name="options">The profile.</param>
    /// <param name="seed">The run's seed.</param>
    public static long[] SelectRows(long[] labels, int classes, ImbalanceOptions options, long seed)
    {
        if (options.Type == ImbalanceProfile.None || labels.Length == 0)
        {
            return [.. Enumerable.Range(0, labels.Length).Select(row => (long)row)];
        }

        using DisposeScope scope = NewDisposeScope();
        using Generator random = SeedSequence.Generator(seed, SeedSequence.Imbalance);
        long largest = labels.GroupBy(label => label).Max(ofClass => ofClass.Count());
        long[] counts = Counts(options, largest, Order(options.Order, classes, seed));
        return [.. randperm(labels.Length, ScalarType.Int64, generator: random).ToArray<long>()
            .GroupBy(row => labels[row])
            .SelectMany(ofClass => ofClass.Take((int)counts[ofClass.Key]))
            .Order()];
    }
}

using System.Globalization;
using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Experiments.Data;

/// <summary>Which images are used, and which of them are held out for validation: by rows, balanced over classes, seeded.</summary>
internal static class Splits
{
    /// <summary>The size of the whole training set that <c>data.validation</c> refers to: CIFAR's, or ImageNet's.</summary>
    public static int WholeTrainingSet(DatasetKind dataset) => dataset == DatasetKind.Imagenet ? 1_281_167 : 50_000;

    /// <summary>
    /// How many images are held out. <c>data.validation</c> (V) is meant for a whole training set of W images (<see cref="WholeTrainingSet"/>).
    /// Of n images, n·V / W, V at most, rounded to the nearest multiple of the number of classes, at least one a class. So 5,000 of
    /// 50,000 are 400 of 4,000. Of V = 0 none are.
    /// </summary>
    /// <param name="data">V, and by the data set W.</param>
    /// <param name="available">The number n of training images that the run uses, validation included.</param>
    /// <param name="classes">The number of classes.</param>
    /// <exception cref="UsageException">Nothing would be left to train on.</exception>
    public static int ValidationSize(DataOptions data, int available, int classes)
    {
        (int wanted, int whole) = (data.Validation, WholeTrainingSet(data.Dataset));
        if (wanted == 0)
        {
            return 0;
        }

        double share = Math.Min(wanted, (double)wanted * available / whole);
        long perClass = Math.Max(1, (long)Math.Round(share / classes, MidpointRounding.AwayFromZero));
        long size = perClass * classes;
        if (size > available - 2)
        {
            throw new UsageException(
                string.Create(CultureInfo.InvariantCulture, $"data.validation {wanted} (of {whole} images; here {size}, ")
                + string.Create(CultureInfo.InvariantCulture, $"one a class at least) leaves fewer than 2 of {available} training images ")
                + "to train on: lower data.validation, or raise data.trainLimit");
        }

        return (int)size;
    }

    /// <summary>How many images are held out as meta data: <c>meta.perClass</c> of each class.</summary>
    /// <param name="perClass">Of each.</param>
    /// <param name="labels">The classes of the images that validation left.</param>
    /// <param name="classes">C.</param>
    /// <exception cref="UsageException">A class has no more than that.</exception>
    public static int MetaSize(int perClass, long[] labels, int classes)
    {
        var counts = labels.CountBy(label => label).ToDictionary();
        int fewest = Enumerable.Range(0, classes).Min(label => counts.GetValueOrDefault(label));
        return perClass < fewest
            ? perClass * classes
            : throw new UsageException(
                FormattableString.Invariant($"meta.perClass {perClass} takes all images of a class that has {fewest} behind validation: lower meta.perClass, or raise data.trainLimit"));
    }

    /// <summary>
    /// Takes images at random, the same number of each class; a class that has too few gives all it has, and the others give more.
    /// Where the number is no multiple of the classes, chance decides which classes give one more.
    /// </summary>
    /// <param name="labels">The class of each image [N].</param>
    /// <param name="count">How many to take, 0 … N.</param>
    /// <param name="random">Decides which.</param>
    /// <returns>The rows taken and all other rows, both ascending.</returns>
    /// <exception cref="ArgumentOutOfRangeException">More than there are.</exception>
    public static (long[] Taken, long[] Remaining) Balanced(long[] labels, int count, Generator random)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, labels.Length);
        using var permutation = randperm(labels.Length, ScalarType.Int64, generator: random);

        // Drawing in turns, one of each class that still has images, is taking the rows in the order of their rank within the class.
        var seen = new Dictionary<long, int>();
        var taken = permutation.ToArray<long>()
            .Select(row => (Row: row, Rank: seen[labels[row]] = seen.GetValueOrDefault(labels[row]) + 1))
            .OrderBy(draw => draw.Rank)
            .Take(count)
            .Select(draw => draw.Row)
            .ToHashSet();
        var rows = Enumerable.Range(0, labels.Length).ToLookup(row => taken.Contains(row), row => (long)row);
        return ([.. rows[true]], [.. rows[false]]);
    }
}

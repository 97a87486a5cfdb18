using System.Globalization;
using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Experiments.Data;

/// <summary>Which images are used, and which of them are held out for validation: as row indices, balanced over classes, seeded.</summary>
internal static class Splits
{
    /// <summary>The size of the full training set that <c>data.validation</c> refers to: CIFAR's, or ImageNet's.</summary>
    public static int FullTrainingSetSize(DatasetKind dataset) => dataset == DatasetKind.Imagenet ? 1_281_167 : 50_000;

    /// <summary>
    /// How many images are held out. <c>data.validation</c> (V) refers to a full training set of W images
    /// (<see cref="FullTrainingSetSize"/>). Of n images, n·V / W but at most V, rounded to the nearest multiple of the number of classes,
    /// at least one per class. So 5,000 of 50,000 become 400 of 4,000. With V = 0, none are held out.
    /// </summary>
    /// <param name="data">Determines V and, by the data set, W.</param>
    /// <param name="available">The number n of training images that the run uses, validation included.</param>
    /// <param name="classes">The number of classes.</param>
    /// <exception cref="UsageException">Nothing would be left to train on.</exception>
    public static int ValidationSize(DataOptions data, int available, int classes)
    {
        (int requested, int whole) = (data.Validation, FullTrainingSetSize(data.Dataset));
        if (requested == 0)
        {
            return 0;
        }

        double share = Math.Min(requested, (double)requested * available / whole);
        long perClass = Math.Max(1, (long)Math.Round(share / classes, MidpointRounding.AwayFromZero));
        long size = perClass * classes;
        if (size > available - 2)
        {
            throw new UsageException(
                string.Create(CultureInfo.InvariantCulture, $"data.validation {requested} (of {whole} images; here {size}, ")
                + string.Create(
                    CultureInfo.InvariantCulture, $"at least one per class) leaves fewer than 2 of {available} training images ")
                + "to train on: lower data.validation, or raise data.trainLimit");
        }

        return (int)size;
    }

    /// <summary>How many images are held out as meta data: <c>meta.perClass</c> of each class.</summary>
    /// <param name="perClass">Images per class.</param>
    /// <param name="labels">The classes of the images that remain after holding out validation.</param>
    /// <param name="classes">The number of classes C.</param>
    /// <exception cref="UsageException">A class does not have more images than that.</exception>
    public static int MetaSize(int perClass, long[] labels, int classes)
    {
        var counts = labels.CountBy(label => label).ToDictionary();
        int fewest = Enumerable.Range(0, classes).Min(label => counts.GetValueOrDefault(label));
        return perClass < fewest
            ? perClass * classes
            : throw new UsageException(
                FormattableString.Invariant($"meta.perClass {perClass} would take all images of a class that has {fewest} after ")
                + "validation is held out: lower meta.perClass, or raise data.trainLimit");
    }

    /// <summary>
    /// Selects random images, the same number per class; a class with too few contributes all it has, and the others more.
    /// If the number is not a multiple of the classes, random classes contribute one more.
    /// </summary>
    /// <param name="labels">The class of each image [N].</param>
    /// <param name="count">How many to take, 0 … N.</param>
    /// <param name="random">The random generator.</param>
    /// <returns>The selected rows and all other rows, both ascending.</returns>
    /// <exception cref="ArgumentOutOfRangeException">More images are requested than there are.</exception>
    public static (long[] Taken, long[] Remaining) Balanced(long[] labels, int count, Generator random)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, labels.Length);
        using var permutation = randperm(labels.Length, ScalarType.Int64, generator: random);

        // Drawing one image per class in rounds is equivalent to taking the rows in the order of their rank within the class.
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

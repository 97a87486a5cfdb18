using System.Globalization;
using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Experiments.Data;

/// <summary>The images of a run. Disposing it disposes the three sets.</summary>
/// <param name="Train">To train on.</param>
/// <param name="Validation">Held out from the training set.</param>
/// <param name="Test">From the test set.</param>
/// <param name="Normalisation">From bytes to the network's input.</param>
/// <param name="Warnings">What is odd, yet usable, a line each.</param>
public sealed record RunData(
    ImageSet Train,
    ImageSet Validation,
    ImageSet Test,
    Normalisation Normalisation,
    IReadOnlyList<string> Warnings) : IDisposable
{
    /// <summary>The number C of classes.</summary>
    public int Classes => Train.ClassNames.Count;

    /// <inheritdoc/>
    public void Dispose()
    {
        Train.Dispose();
        Validation.Dispose();
        Test.Dispose();
    }
}

/// <summary>From the configuration to the images of a run.</summary>
public static class DataSets
{
    /// <summary>
    /// Reads or makes the data set, takes <c>data.trainLimit</c> and <c>data.testLimit</c> images, and holds out the validation set
    /// (<see cref="Splits.ValidationSize"/>), all balanced over classes.
    /// </summary>
    /// <param name="options">Group <c>data</c> of the configuration.</param>
    /// <param name="seed">The run's seed.</param>
    /// <param name="folder">The folder of the command line's <c>--data</c>, which goes before <c>data.root</c>; null: not given.</param>
    /// <exception cref="UsageException">Files are missing or damaged, or the sizes do not fit together.</exception>
    public static RunData Load(DataOptions options, long seed, string? folder = null)
    {
        var warnings = new List<string>();
        var (train, test) = Read(options, seed, folder, warnings);
        using (train)
        using (test)
        {
            long[] labels = train.Labels.data<long>().ToArray();
            long[] used = Limit(train, options.TrainLimit, "data.trainLimit", seed, SeedSequence.TrainLimit, warnings);
            int held = Splits.ValidationSize(options.Validation, used.Length, train.ClassNames.Count);
            using var random = SeedSequence.Generator(seed, SeedSequence.Validation);
            var (validation, rest) = Splits.Balanced(Array.ConvertAll(used, row => labels[row]), held, random);
            long[] tested = Limit(test, options.TestLimit, "data.testLimit", seed, SeedSequence.TestLimit, warnings);
            return new RunData(
                train.Select(Array.ConvertAll(rest, i => used[i])),
                train.Select(Array.ConvertAll(validation, i => used[i])),
                test.Select(tested),
                NormalisationOf(options.Dataset),
                warnings);
        }
    }

    private static (ImageSet Train, ImageSet Test) Read(DataOptions options, long seed, string? folder, List<string> warnings)
    {
        if (options.Dataset == DatasetKind.Generated)
        {
            if ((folder ?? options.Root) is { } unused)
            {
                warnings.Add($"the folder {unused} is not used: data.dataset is generated");
            }

            using var forTrain = SeedSequence.Generator(seed, SeedSequence.GeneratedTrain);
            using var forTest = SeedSequence.Generator(seed, SeedSequence.GeneratedTest);
            return (
                GeneratedImages.Make(GeneratedImages.TrainImages, GeneratedImages.Classes, forTrain),
                GeneratedImages.Make(GeneratedImages.TestImages, GeneratedImages.Classes, forTest));
        }

        if (options.Dataset == DatasetKind.Imagenet)
        {
            throw new UsageException("data.dataset imagenet: its images cannot be read yet, only its networks counted (imta cost); train on cifar10, cifar100 or generated");
        }

        CifarFormat format = CifarFormat.Of(options.Dataset)!;
        string root = folder ?? options.Root
            ?? throw new UsageException($"where is {format.Name}? Neither --data DIR nor data.root names its folder. {format.Advice}");
        return CifarReader.Read(format, root, warnings);
    }

    private static long[] Limit(ImageSet set, int? limit, string key, long seed, string purpose, List<string> warnings)
    {
        if (limit is not { } count || count >= set.Count)
        {
            if (limit > set.Count)
            {
                warnings.Add(string.Create(
                    CultureInfo.InvariantCulture, $"{key} is {limit}, but there are {set.Count} images: all are used"));
            }

            return [.. Enumerable.Range(0, set.Count).Select(row => (long)row)];
        }

        using var random = SeedSequence.Generator(seed, purpose);
        return Splits.Balanced(set.Labels.data<long>().ToArray(), count, random).Taken;
    }

    private static Normalisation NormalisationOf(DatasetKind dataset) => dataset switch
    {
        DatasetKind.Cifar10 => Normalisation.Cifar10,
        DatasetKind.Cifar100 => Normalisation.Cifar100,
        _ => Normalisation.Generated,
    };
}

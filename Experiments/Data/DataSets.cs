using System.Globalization;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data.Pictures;

namespace Imta.MetaWeight.Experiments.Data;

/// <summary>The image sets of a run. Disposing it disposes the sets.</summary>
/// <param name="Train">Training images.</param>
/// <param name="Validation">Validation images held out from the training set; empty with <c>data.validation: 0</c>.</param>
/// <param name="Meta">Meta images held out from the training set; null: the meta data is the other half of each batch.</param>
/// <param name="Test">Test images.</param>
/// <param name="Normalisation">Maps bytes to the network's input.</param>
/// <param name="Warnings">Anomalies that do not prevent use, one line each.</param>
/// <param name="Pictures">Statistics of the image files read; null: the images are in memory.</param>
/// <param name="Fingerprint">Hash of the data, in order: of CIFAR's records, of the pixels and labels of pictures, or of the names of
/// ImageNet's files; null: the images are generated.</param>
internal sealed record RunData(
    ImageSet Train,
    ImageSet Validation,
    ImageSet? Meta,
    ImageSet Test,
    Normalisation Normalisation,
    IReadOnlyList<string> Warnings,
    ImageReadStatistics? Pictures = null,
    string? Fingerprint = null) : IDisposable
{
    /// <summary>The number C of classes.</summary>
    public int Classes => Train.ClassNames.Count;

    /// <inheritdoc/>
    public void Dispose()
    {
        Train.Dispose();
        Validation.Dispose();
        Meta?.Dispose();
        Test.Dispose();
    }
}

/// <summary>Loads the images of a run from its configuration.</summary>
internal static class DataSets
{
    /// <summary>
    /// Reads or generates the data set, selects <c>data.trainLimit</c> and <c>data.testLimit</c> images, and holds out the validation set
    /// (<see cref="Splits.ValidationSize"/>) and, with held-out meta data, the meta set, all balanced over classes. The rest
    /// is the training set, or the part of it that <c>data.imbalance</c> keeps.
    /// </summary>
    /// <param name="settings">The run's settings.</param>
    /// <param name="folder">The folder of the command line's <c>--data</c>, which overrides <c>data.root</c>; null: not given.</param>
    /// <param name="memory">This process's share of the memory, in bytes; null: all that is free.</param>
    /// <exception cref="UsageException">Files are missing or damaged, or the sizes are inconsistent.</exception>
    public static RunData Load(Settings settings, string? folder = null, long? memory = null)
    {
        DataOptions options = settings.Data;
        var warnings = new List<string>();
        ImageReadStatistics? pictures = options.Dataset == DatasetKind.Imagenet
            ? new(line => Console.Error.WriteLine($"warning: {line}"))
            : null;
        var (train, test, fingerprint) = pictures is null
            ? Read(options, settings.Seed, folder, warnings, memory)
            : ImageNetFolders.Load(options, folder, pictures, warnings);
        RunData data;
        using (train)
        using (test)
        {
            data = Split(settings, train, test, warnings) with { Pictures = pictures, Fingerprint = fingerprint };
        }

        if (pictures is not null)
        {
            // A million names were sorted and distributed: return that memory to the system.
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        }

        TorchLibraries.ReturnFreeMemory(); // the whole data set's
        return data;
    }

    private static RunData Split(Settings settings, ImageSet train, ImageSet test, List<string> warnings)
    {
        (DataOptions options, long seed) = (settings.Data, settings.Seed);
        long[] labels = train.Labels.ToArray<long>();
        int classes = train.ClassNames.Count;
        long[] used = Limit(train, options.TrainLimit, "data.trainLimit", seed, SeedSequence.TrainLimit, warnings);
        (long[] validation, long[] rest) = HoldOut(
            used, labels, Splits.ValidationSize(options, used.Length, classes), seed, SeedSequence.Validation);
        int held = settings.Meta.UsesHeldOutData ? Splits.MetaSize(settings.Meta.PerClass, Select(labels, rest), classes) : 0;
        (long[] meta, rest) = HoldOut(rest, labels, held, seed, SeedSequence.MetaData);
        long[] kept = ImbalancedClasses.SelectRows(Select(labels, rest), classes, options.Imbalance, seed);
        CheckSizes(kept.Length, held, settings.Processes);
        long[] tested = Limit(test, options.TestLimit, "data.testLimit", seed, SeedSequence.TestLimit, warnings);
        return new RunData(
            train.Select(Select(rest, kept)),
            train.Select(validation),
            held > 0 ? train.Select(meta) : null,
            test.Select(tested),
            options.Dataset == DatasetKind.Pictures ? Normalisation.FromImages(train.Images) : NormalisationOf(options.Dataset),
            warnings);
    }

    private static void CheckSizes(int train, int meta, int processes)
    {
        if (train < 2)
        {
            throw new UsageException("only one training image is left: lower data.imbalance.factor, or raise data.trainLimit");
        }

        int least = 2 * processes;
        if (meta > 0 && meta < least)
        {
            throw new UsageException(
                FormattableString.Invariant($"{processes} processes need at least {least} held-out meta images, ")
                + FormattableString.Invariant($"but there are {meta}: raise meta.perClass, or lower processes"));
        }

        if (train < least)
        {
            throw new UsageException(
                FormattableString.Invariant($"{processes} processes need at least {least} training images, ")
                + FormattableString.Invariant($"but there are {train}: raise data.trainLimit, or lower processes"));
        }
    }

    /// <summary>Selects random rows, balanced over classes; returns them and the remaining ones.</summary>
    private static (long[] Taken, long[] Others) HoldOut(long[] rows, long[] labels, int count, long seed, string purpose)
    {
        using Generator random = SeedSequence.Generator(seed, purpose);
        (long[] taken, long[] others) = Splits.Balanced(Select(labels, rows), count, random);
        return (Select(rows, taken), Select(rows, others));
    }

    private static long[] Select(long[] values, long[] rows) => Array.ConvertAll(rows, row => values[row]);

    private static (ImageSet Train, ImageSet Test, string? Fingerprint) Read(
        DataOptions options, long seed, string? folder, List<string> warnings, long? memory)
    {
        if (options.Dataset == DatasetKind.Generated)
        {
            if ((folder ?? options.Root) is { } unused)
            {
                warnings.Add($"the folder {unused} is ignored because data.dataset is generated");
            }

            using var forTrain = SeedSequence.Generator(seed, SeedSequence.GeneratedTrain);
            using var forTest = SeedSequence.Generator(seed, SeedSequence.GeneratedTest);
            return (
                GeneratedImages.Make(GeneratedImages.TrainImages, GeneratedImages.Classes, forTrain),
                GeneratedImages.Make(GeneratedImages.TestImages, GeneratedImages.Classes, forTest),
                null);
        }

        if (options.Dataset == DatasetKind.Pictures)
        {
            return PictureFolders.Load(options, folder, warnings, memory);
        }

        CifarFormat format = CifarFormat.ForDataset(options.Dataset)!;
        string root = folder ?? options.Root
            ?? throw new UsageException($"no folder is set for {format.Name}; set it with --data DIR or data.root. {format.Advice}");
        return CifarReader.Read(format, root, warnings);
    }

    private static long[] Limit(ImageSet set, int? limit, string key, long seed, string purpose, List<string> warnings)
    {
        if (limit is not { } count || count >= set.Count)
        {
            if (limit > set.Count)
            {
                warnings.Add(string.Create(
                    CultureInfo.InvariantCulture, $"{key} is {limit}, but there are {set.Count} images: using all"));
            }

            return [.. Enumerable.Range(0, set.Count).Select(row => (long)row)];
        }

        using var random = SeedSequence.Generator(seed, purpose);
        return Splits.Balanced(set.Labels.ToArray<long>(), count, random).Taken;
    }

    private static Normalisation NormalisationOf(DatasetKind dataset) => dataset switch
    {
        DatasetKind.Cifar10 => Normalisation.Cifar10,
        DatasetKind.Cifar100 => Normalisation.Cifar100,
        DatasetKind.Imagenet => Normalisation.ImageNet,
        _ => Normalisation.Generated,
    };
}

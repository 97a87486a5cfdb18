using System.Security.Cryptography;
using System.Text;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data.Pictures;

namespace Imta.MetaWeight.Experiments.Data;

/// <summary>ImageNet's two folders: <c>train</c>, and <c>val</c>, which is the test set.</summary>
/// <param name="Train">Training images, including those to hold out.</param>
/// <param name="Test">Test images of the same classes.</param>
internal sealed record ImageNetFolders(ImageFolder Train, ImageFolder Test)
{
    /// <summary>Lists the files without opening them.</summary>
    /// <param name="root">The folder.</param>
    /// <param name="testNames">Possible names of the folder of test images; the first that exists is used. None: <c>val</c>.</param>
    /// <exception cref="UsageException">A folder does not exist, a class has no images, or the classes of the two folders
    /// differ.</exception>
    public static ImageNetFolders Read(string root, params string[] testNames)
    {
        string[] names = testNames is [] ? ["val"] : testNames;
        string? found = names.FirstOrDefault(name => Directory.Exists(Path.Combine(root, name)));
        if (!Directory.Exists(Path.Combine(root, "train")) || found is null)
        {
            throw new UsageException($"{root} does not have the folders train and "
                + $"{string.Join(" or ", names)}, each with one subfolder per class");
        }

        ImageFolder train = ImageFolder.Read(Path.Combine(root, "train")), test = ImageFolder.Read(Path.Combine(root, found));
        return train.ClassNames.SequenceEqual(test.ClassNames)
            ? new ImageNetFolders(train, test)
            : throw new UsageException(Differences(root, found, train.ClassNames, test.ClassNames));
    }

    /// <summary>The image sets of a run, and the hash of their file names; no file is opened.</summary>
    /// <param name="options">The run's options.</param>
    /// <param name="folder">Overrides <c>data.root</c>; null: not given.</param>
    /// <param name="tally">Collects statistics of files read later.</param>
    /// <param name="warnings">Receives warnings about what is skipped.</param>
    /// <exception cref="UsageException">SkiaSharp is not available on this machine, the folder does not have ImageNet's layout, or the
    /// number of classes differs.</exception>
    public static (ImageSet Train, ImageSet Test, string Fingerprint) Load(
        DataOptions options, string? folder, ImageReadStatistics tally, List<string> warnings)
    {
        EnsureDecoderAvailable();
        string given = folder ?? options.Root
            ?? throw new UsageException("no folder is set for ImageNet; set one in which train and val have one subfolder per class, with "
                + "--data DIR or data.root; "
                + $"{SelfProcess.CommandLine("data", "imagenet", "--check", "DIR")} checks it");
        string root = Path.GetFullPath(given); // so that all processes of a run use the same file names
        ImageNetFolders folders = Read(root);
        folders.RequireClasses(root, DatasetShape.For(options).Classes);
        warnings.AddRange(folders.Warnings);
        return (folders.Train.ToImageSet(options.Workers, tally), folders.Test.ToImageSet(options.Workers, tally), folders.Fingerprint());
    }

    /// <exception cref="UsageException">The number of classes differs.</exception>
    public void RequireClasses(string root, int expected)
    {
        int classes = Train.ClassNames.Count;
        if (classes != expected)
        {
            throw new UsageException(classes == 1
                ? $"{root} has a single class, {Train.ClassNames[0]}; classification needs at least two"
                : FormattableString.Invariant($"{root} has {classes} classes, but the run is configured for {expected}; ")
                    + FormattableString.Invariant($"set data.classes to {classes}, or choose another folder"));
        }
    }

    /// <summary>Warnings about what is skipped, one line each.</summary>
    public IEnumerable<string> Warnings => Train.Warnings.Concat(Test.Warnings);

    /// <summary>
    /// Hash of the file paths relative to the root, training files first: SHA-256, in hexadecimal. The contents are not read.
    /// </summary>
    private string Fingerprint()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string name in Train.Files.Append("").Concat(Test.Files))
        {
            hash.AppendData(Encoding.UTF8.GetBytes(name + "\n"));
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <exception cref="UsageException">SkiaSharp is not available on this machine.</exception>
    public static void EnsureDecoderAvailable()
    {
        if (!ImageDecoder.IsAvailable)
        {
            throw new UsageException("image files cannot be decoded: SkiaSharp has no native library for this machine");
        }
    }

    private static string Differences(string root, string other, IReadOnlyList<string> train, IReadOnlyList<string> test)
    {
        string? missing = train.Except(test).FirstOrDefault(), added = test.Except(train).FirstOrDefault();
        string name = missing ?? added!;
        string advice = added is not null && missing is not null && test.Count == 1
            ? "sort the validation images into one subfolder per class"
            : "both need the same class subfolders";
        return FormattableString.Invariant($"{root}: train has {train.Count} classes and {other} {test.Count}; ")
            + $"{name} is only in {(missing is null ? other : "train")}: {advice}";
    }
}

using System.IO.Enumeration;
using System.Security.Cryptography;
using System.Text;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data.Pictures;

namespace Imta.MetaWeight.Experiments.Data;

/// <summary>Image files in one folder per class, in the order of torchvision's <c>ImageFolder</c>: by class, by folder, by name.</summary>
/// <param name="Root">The parent of the class folders.</param>
/// <param name="ClassNames">C names: those of the class folders.</param>
/// <param name="Files">Paths below the root, N.</param>
/// <param name="Labels">0 … C − 1, one per file.</param>
internal sealed record ImageFolder(string Root, IReadOnlyList<string> ClassNames, IReadOnlyList<string> Files, IReadOnlyList<int> Labels)
{
    private static readonly string[] Readable = [".jpeg", ".jpg", ".png", ".webp", ".bmp"];
    // Not decoded by Skia, or not read by torchvision.
    private static readonly string[] OtherPictures = [".ppm", ".pgm", ".tif", ".tiff", ".gif", ".heic", ".avif"];

    /// <summary>Lines on the pictures that were passed over.</summary>
    public IReadOnlyList<string> Warnings { get; private init; } = [];

    /// <summary>Lists the files without opening them.</summary>
    /// <exception cref="UsageException">The folder does not exist, or a class has no images.</exception>
    public static ImageFolder Read(string root)
    {
        if (!Directory.Exists(root))
        {
            throw new UsageException($"there is no folder {root}; expected one subfolder of {ImageDecoder.Formats} files per class");
        }

        string[] classes =
        [
            .. Directory.EnumerateDirectories(root).Select(folder => Path.GetFileName(folder)).Where(name => !IsHidden(name))
                .Order(StringComparer.Ordinal),
        ];
        if (!classes.All(name => HasUsableName(Path.Combine(root, name))) || classes.Length == 0)
        {
            throw new UsageException($"{root} has no subfolders; expected one of {ImageDecoder.Formats} files per class");
        }

        var files = new List<string>();
        var others = new List<string>();
        var labels = new List<int>();
        for (int label = 0; label < classes.Length; label++)
        {
            int before = files.Count;
            files.AddRange(Pictures(root, classes[label], others));
            if (files.Count == before)
            {
                throw new UsageException(
                    $"{Path.Combine(root, classes[label])} contains no {ImageDecoder.Formats} files; remove the folder, or fill it"
                        + (PassedOver(root, others) is { } skipped ? $" ({skipped})" : ""));
            }

            labels.AddRange(Enumerable.Repeat(label, files.Count - before));
        }

        return new ImageFolder(root, classes, files, labels)
        {
            Warnings = [.. new[] { PassedOver(root, others), OutsideClasses(root) }.OfType<string>()],
        };
    }

    /// <summary>A line on pictures that are in no class; null if there are none.</summary>
    private static string? OutsideClasses(string root)
    {
        string[] outside =
        [
            .. Directory.EnumerateFiles(root).Select(file => Path.GetFileName(file))
                .Where(name => !IsHidden(name) && Readable.Contains(Path.GetExtension(name).ToLowerInvariant())),
        ];
        return outside.Length == 0
            ? null
            : FormattableString.Invariant($"{root}: skipping {outside.Length:N0} {(outside.Length == 1 ? "image" : "images")} outside ")
                + $"the class folders ({Terminal.Sanitize(outside.Min(StringComparer.Ordinal)!)}); sort them into class folders";
    }

    /// <summary>A line on pictures of formats that are not read; null if there are none.</summary>
    /// <param name="root">Their folder.</param>
    /// <param name="others">Their extensions, from <see cref="Pictures"/>.</param>
    public static string? PassedOver(string root, IReadOnlyCollection<string> others) => others.Count == 0
        ? null
        : $"{root}: skipping pictures in formats that imta cannot read: "
            + string.Join(", ", others.CountBy(extension => extension).OrderBy(of => of.Key, StringComparer.Ordinal)
                .Select(of => FormattableString.Invariant($"{of.Value:N0} {of.Key}")))
            + "; convert them, for example to PNG";

    private static bool IsHidden(ReadOnlySpan<char> name) => name is ['.', ..] or "__MACOSX";

    /// <summary>.NET replaces what is not UTF-8 in a name, and then does not find the file.</summary>
    private static bool HasUsableName(string path) => !path.Contains('\uFFFD') || Path.Exists(path)
        ? true
        : throw new UsageException(
            $"the name of {path} is not UTF-8 (\uFFFD stands for its unreadable bytes), so it cannot be opened; rename it and others like "
                + "it, for example with convmv -r -f latin1 -t utf8 --notest DIR");

    private static bool IsCyclicLink(FileSystemInfo link, string start)
        => link.ResolveLinkTarget(returnFinalTarget: true) is not { } target
            || $"{start}/".StartsWith($"{target.FullName.TrimEnd('/')}/", StringComparison.Ordinal);

    /// <summary>The number of images per class, C numbers.</summary>
    public int[] ClassCounts() => [.. Labels.CountBy(label => label).OrderBy(pair => pair.Key).Select(pair => pair.Value)];

    /// <summary>The folder as an image set.</summary>
    /// <param name="workers">Decoding threads; 0: as many as compute threads.</param>
    /// <param name="tally">Collects statistics of the files read.</param>
    public ImageSet ToImageSet(int workers, ImageReadStatistics tally)
    {
        using DisposeScope scope = NewDisposeScope();
        return new ImageSet(
            new ImageFiles(Root, Files, ImageTransform.ImageNet, workers, tally), tensor(
                Labels.Select(label => (long)label).ToArray()), arange(
                Held(Files.Count), ScalarType.Int64), ClassNames);
    }

    /// <summary>
    /// The readable pictures below a folder, by folder and name: paths below the root. Links to files are followed, and so are links to
    /// direct subfolders unless they are cyclic; what is hidden, and <c>__MACOSX</c>, is not looked at.
    /// </summary>
    /// <param name="root">The folder, or the parent of <paramref name="name"/>.</param>
    /// <param name="name">The folder's name below the root.</param>
    /// <param name="others">Receives the extensions of pictures of other formats.</param>
    /// <exception cref="UsageException">A name is not UTF-8.</exception>
    public static IEnumerable<string> Pictures(string root, string name, ICollection<string> others)
    {
        string start = Path.GetFullPath(Path.Combine(root, name));
        var options = new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = 0, IgnoreInaccessible = false };
        var found = new FileSystemEnumerable<string>(Path.Combine(root, name), (ref FileSystemEntry entry) => entry.ToFullPath(), options)
        {
            ShouldIncludePredicate = (ref FileSystemEntry entry)
                => !entry.IsDirectory && !IsHidden(entry.FileName) && IsReadable(Path.GetExtension(entry.FileName))
                    && HasUsableName(entry.ToFullPath()),
            ShouldRecursePredicate = (ref FileSystemEntry entry)
                => !IsHidden(entry.FileName) && HasUsableName(entry.ToFullPath())
                    && (!entry.Attributes.HasFlag(FileAttributes.ReparsePoint)
                        || (entry.Directory.Length == entry.RootDirectory.Length && !IsCyclicLink(entry.ToFileSystemInfo(), start))),
        };

        bool IsReadable(ReadOnlySpan<char> extension)
        {
            string lower = extension.ToString().ToLowerInvariant();
            if (OtherPictures.Contains(lower))
            {
                others.Add(lower);
            }

            return Readable.Contains(lower);
        }

        return found
            .Select(file => Path.GetRelativePath(root, file))
            .OrderBy(file => Path.GetDirectoryName(file), StringComparer.Ordinal)
            .ThenBy(file => Path.GetFileName(file), StringComparer.Ordinal);
    }
}

/// <summary>ImageNet's two folders: <c>train</c>, and <c>val</c>, which is the test set.</summary>
/// <param name="Train">Training images, including those to hold out.</param>
/// <param name="Test">Test images of the same classes.</param>
internal sealed record ImageNetFolders(ImageFolder Train, ImageFolder Test)
{
    /// <summary>Lists the files without opening them.</summary>
    /// <exception cref="UsageException">A folder does not exist, a class has no images, or the classes of the two folders
    /// differ.</exception>
    public static ImageNetFolders Read(string root)
    {
        if (!Directory.Exists(Path.Combine(root, "train")) || !Directory.Exists(Path.Combine(root, "val")))
        {
            throw new UsageException(
                $"{root} does not have ImageNet's layout: expected the folders train and val, each with one subfolder per class");
        }

        ImageFolder train = ImageFolder.Read(Path.Combine(root, "train")), test = ImageFolder.Read(Path.Combine(root, "val"));
        return train.ClassNames.SequenceEqual(test.ClassNames)
            ? new ImageNetFolders(train, test)
            : throw new UsageException(Differences(root, train.ClassNames, test.ClassNames));
    }

    /// <summary>The image sets of a run, and the hash of their file names; no file is opened.</summary>
    /// <param name="options">The run's options.</param>
    /// <param name="folder">Overrides <c>data.root</c>; null: not given.</param>
    /// <param name="tally">Collects statistics of files read later.</param>
    /// <param name="warnings">Receives lines on what is passed over.</param>
    /// <exception cref="UsageException">SkiaSharp is not available on this machine, the folder does not have ImageNet's layout, or the
    /// number of classes differs.</exception>
    public static (ImageSet Train, ImageSet Test, string Fingerprint) Load(
        DataOptions options, string? folder, ImageReadStatistics tally, List<string> warnings)
    {
        EnsureDecoderAvailable();
        string given = folder ?? options.Root
            ?? throw new UsageException("where is ImageNet? Set its folder, in which train and val have one subfolder per class, with "
                + "--data DIR or data.root; "
                + $"{SelfProcess.CommandLine("data", "imagenet", "--check", "DIR")} checks it");
        string root = Path.GetFullPath(given); // so that all processes of a run use the same file names
        ImageNetFolders folders = Read(root);
        int classes = folders.Train.ClassNames.Count, wanted = DatasetShape.For(options).Classes;
        if (classes != wanted)
        {
            throw new UsageException(classes == 1
                ? $"{root} has a single class, {folders.Train.ClassNames[0]}; classification needs at least two"
                : FormattableString.Invariant($"{root} has {classes} classes, but the run is configured for {wanted}; ")
                    + FormattableString.Invariant($"set data.classes to {classes}, or choose another folder"));
        }

        warnings.AddRange(folders.Warnings);
        return (folders.Train.ToImageSet(options.Workers, tally), folders.Test.ToImageSet(options.Workers, tally), folders.Fingerprint());
    }

    /// <summary>Lines on what is passed over.</summary>
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

    private static string Differences(string root, IReadOnlyList<string> train, IReadOnlyList<string> test)
    {
        string? missing = train.Except(test).FirstOrDefault(), added = test.Except(train).FirstOrDefault();
        string name = missing ?? added!;
        string advice = added is not null && missing is not null && test.Count == 1
            ? "sort the validation images into one subfolder per class"
            : "both need the same class subfolders";
        return FormattableString.Invariant($"{root}: train has {train.Count} classes and val {test.Count}; ")
            + $"{name} is only in {(missing is null ? "val" : "train")}: {advice}";
    }
}

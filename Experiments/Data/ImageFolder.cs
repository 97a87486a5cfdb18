using System.IO.Enumeration;
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

    /// <summary>Warnings about skipped pictures, one line each.</summary>
    public IReadOnlyList<string> Warnings { get; private init; } = [];

    /// <summary>Lists the files without opening them.</summary>
    /// <exception cref="UsageException">The folder does not exist, or a class has no images.</exception>
    public static ImageFolder Read(string root)
    {
        string[] classes = ClassesIn(root);
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
                        + (DescribeSkipped(root, others) is { } skipped ? $" ({skipped})" : ""));
            }

            labels.AddRange(Enumerable.Repeat(label, files.Count - before));
        }

        return new ImageFolder(root, classes, files, labels)
        {
            Warnings = [.. new[] { DescribeSkipped(root, others), OutsideClasses(root) }.OfType<string>()],
        };
    }

    /// <summary>The names of the class folders, in their order.</summary>
    /// <exception cref="UsageException">There are none.</exception>
    public static string[] ClassesIn(string root)
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
        return classes.All(name => HasUsableName(Path.Combine(root, name))) && classes.Length > 0
            ? classes
            : throw new UsageException($"{root} has no subfolders; expected one of {ImageDecoder.Formats} files per class");
    }

    /// <summary>A warning about pictures outside the class folders; null if there are none.</summary>
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

    /// <summary>A warning about pictures of formats that are not read; null if there are none.</summary>
    /// <param name="root">Their folder.</param>
    /// <param name="others">Their extensions, from <see cref="Pictures"/>.</param>
    public static string? DescribeSkipped(string root, IReadOnlyCollection<string> others) => others.Count == 0
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
            || PathNames.IsWithin(
                target.FullName, start, Path.DirectorySeparatorChar,
                OperatingSystem.IsLinux() ? StringComparison.Ordinal : StringComparison.OrdinalIgnoreCase);

    /// <summary>The number of images per class, C numbers.</summary>
    public int[] ClassCounts() => [.. Labels.CountBy(label => label).OrderBy(pair => pair.Key).Select(pair => pair.Value)];

    /// <summary>The folder as an image set.</summary>
    /// <param name="workers">Decoding threads; 0: as many as compute threads.</param>
    /// <param name="tally">Collects statistics of the files read.</param>
    public ImageSet ToImageSet(int workers, ImageReadStatistics tally)
    {
        using DisposeScope scope = NewDisposeScope();
        return new ImageSet(
            new ImageFiles(Root, Files, ImageTransform.ImageNet, workers, tally),
            tensor(Labels.Select(label => (long)label).ToArray()),
            arange(Held(0), Held(Files.Count), One, ScalarType.Int64),
            ClassNames);
    }

    /// <summary>
    /// The readable pictures below a folder, by folder and name: paths below the root. Links to files are followed, and so are links to
    /// direct subfolders unless they are cyclic; hidden files and folders, and <c>__MACOSX</c>, are ignored.
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
            .Select(file => PathNames.Portable(Path.GetRelativePath(root, file), Path.DirectorySeparatorChar)) // the same order everywhere
            .OrderBy(file => file[..Math.Max(0, file.LastIndexOf('/'))], StringComparer.Ordinal)
            .ThenBy(file => file[(file.LastIndexOf('/') + 1)..], StringComparer.Ordinal);
    }
}

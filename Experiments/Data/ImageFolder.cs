using System.IO.Enumeration;
using System.Security.Cryptography;
using System.Text;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data.Pictures;

namespace Imta.MetaWeight.Experiments.Data;

/// <summary>Picture files in a folder for each class, in the order that torchvision's <c>ImageFolder</c> gives them: by class, by folder, by name.</summary>
/// <param name="Root">The folder of the classes' folders.</param>
/// <param name="ClassNames">C names: those of the folders.</param>
/// <param name="Files">Paths below the root, N.</param>
/// <param name="Labels">0 … C − 1, one for each file.</param>
internal sealed record ImageFolder(string Root, IReadOnlyList<string> ClassNames, IReadOnlyList<string> Files, IReadOnlyList<int> Labels)
{
    private static readonly string[] Extensions = [".jpeg", ".jpg", ".png"];

    /// <summary>Looks what files there are; it opens none.</summary>
    /// <exception cref="UsageException">The folder is not there, or a class has no pictures.</exception>
    public static ImageFolder Read(string root)
    {
        if (!Directory.Exists(root))
        {
            throw new UsageException($"there is no folder {root}; it takes a folder for each class, with JPEG or PNG files in it");
        }

        string[] classes = [.. Directory.EnumerateDirectories(root).Select(folder => Path.GetFileName(folder)).Where(name => !name.StartsWith('.')).Order(StringComparer.Ordinal)];
        if (classes.Length == 0)
        {
            throw new UsageException($"{root} has no folders; it takes one for each class, with JPEG or PNG files in it");
        }

        var files = new List<string>();
        var labels = new List<int>();
        for (int label = 0; label < classes.Length; label++)
        {
            int before = files.Count;
            files.AddRange(Pictures(root, classes[label]));
            if (files.Count == before)
            {
                throw new UsageException($"{Path.Combine(root, classes[label])} has no JPEG or PNG file; remove the folder, or fill it");
            }

            labels.AddRange(Enumerable.Repeat(label, files.Count - before));
        }

        return new ImageFolder(root, classes, files, labels);
    }

    private static bool LeadsBack(FileSystemInfo link, string start)
        => link.ResolveLinkTarget(returnFinalTarget: true) is not { } target || $"{start}/".StartsWith($"{target.FullName.TrimEnd('/')}/", StringComparison.Ordinal);

    /// <summary>The pictures of each class, C numbers.</summary>
    public int[] ClassCounts() => [.. Labels.CountBy(label => label).OrderBy(pair => pair.Key).Select(pair => pair.Value)];

    /// <summary>All of it as images of a run.</summary>
    /// <param name="workers">Threads that decode; 0: as many as compute.</param>
    /// <param name="tally">Counts what is read.</param>
    public ImageSet Set(int workers, PictureTally tally)
    {
        using DisposeScope scope = NewDisposeScope();
        return new ImageSet(
            new PictureFiles(Root, Files, PictureShape.ImageNet, workers, tally), tensor(Labels.Select(label => (long)label).ToArray()), arange(Files.Count, ScalarType.Int64), ClassNames);
    }

    /// <summary>The JPEG and PNG files below a folder, by folder and name: paths below the root. Links to files are followed, and links to folders directly below that do not lead back.</summary>
    public static IEnumerable<string> Pictures(string root, string name = "")
    {
        string start = Path.GetFullPath(Path.Combine(root, name));
        var options = new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = 0, IgnoreInaccessible = false };
        var found = new FileSystemEnumerable<string>(Path.Combine(root, name), (ref FileSystemEntry entry) => entry.ToFullPath(), options)
        {
            ShouldIncludePredicate = (ref FileSystemEntry entry) => !entry.IsDirectory && Extensions.Contains(Path.GetExtension(entry.FileName).ToString(), StringComparer.OrdinalIgnoreCase),
            ShouldRecursePredicate = (ref FileSystemEntry entry) => !entry.Attributes.HasFlag(FileAttributes.ReparsePoint) || (entry.Directory.Length == entry.RootDirectory.Length && !LeadsBack(entry.ToFileSystemInfo(), start)),
        };
        return found
            .Select(file => Path.GetRelativePath(root, file))
            .OrderBy(file => Path.GetDirectoryName(file), StringComparer.Ordinal)
            .ThenBy(file => Path.GetFileName(file), StringComparer.Ordinal);
    }
}

/// <summary>ImageNet's two folders: <c>train</c>, and <c>val</c>, which is the test set.</summary>
/// <param name="Train">To train on and to hold out from.</param>
/// <param name="Test">Of the same classes.</param>
internal sealed record ImageNetFolders(ImageFolder Train, ImageFolder Test)
{
    /// <summary>Looks what files there are; it opens none.</summary>
    /// <exception cref="UsageException">A folder is not there, a class has no pictures, or the two have other classes.</exception>
    public static ImageNetFolders Read(string root)
    {
        if (!Directory.Exists(Path.Combine(root, "train")) || !Directory.Exists(Path.Combine(root, "val")))
        {
            throw new UsageException($"{root} is no ImageNet: it takes the folders train and val, each with a folder for each class");
        }

        (ImageFolder train, ImageFolder test) = (ImageFolder.Read(Path.Combine(root, "train")), ImageFolder.Read(Path.Combine(root, "val")));
        return train.ClassNames.SequenceEqual(test.ClassNames)
            ? new ImageNetFolders(train, test)
            : throw new UsageException(Differences(root, train.ClassNames, test.ClassNames));
    }

    /// <summary>The sets that a run is made of, and what names their files; none is opened.</summary>
    /// <param name="options">The run's.</param>
    /// <param name="folder">What goes before <c>data.root</c>; null: nothing.</param>
    /// <param name="tally">Counts what is read later.</param>
    /// <exception cref="UsageException">SkiaSharp reads none on this machine, the folder is no ImageNet, or it has another number of classes.</exception>
    public static (ImageSet Train, ImageSet Test, string Fingerprint) Load(DataOptions options, string? folder, PictureTally tally)
    {
        NeedReader();
        string given = folder ?? options.Root
            ?? throw new UsageException("where is ImageNet? Neither --data DIR nor data.root names its folder, in which train and val have a folder for each class; imta data imagenet --check DIR looks at one");
        string root = Path.GetFullPath(given); // so that all processes of a run name a file alike
        ImageNetFolders folders = Read(root);
        int classes = folders.Train.ClassNames.Count, wanted = DatasetShape.Of(options).Classes;
        if (classes != wanted)
        {
            throw new UsageException(classes == 1
                ? $"{root} has a single class, {folders.Train.ClassNames[0]}; there is nothing to tell apart"
                : FormattableString.Invariant($"{root} has {classes} classes, and the run is for {wanted}; set data.classes to {classes}, or name another folder"));
        }

        return (folders.Train.Set(options.Workers, tally), folders.Test.Set(options.Workers, tally), folders.Fingerprint());
    }

    /// <summary>Names the files by their paths below the root, the training files before the others: SHA-256, in hexadecimal. Their content is not read.</summary>
    private string Fingerprint()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string name in Train.Files.Append("").Concat(Test.Files))
        {
            hash.AppendData(Encoding.UTF8.GetBytes(name + "\n"));
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <exception cref="UsageException">SkiaSharp reads none on this machine.</exception>
    public static void NeedReader()
    {
        if (!Picture.IsAvailable)
        {
            throw new UsageException("pictures cannot be read here: SkiaSharp has no library for this machine");
        }
    }

    private static string Differences(string root, IReadOnlyList<string> train, IReadOnlyList<string> test)
    {
        string? missing = train.Except(test).FirstOrDefault(), added = test.Except(train).FirstOrDefault();
        string name = missing ?? added!;
        string advice = added is not null && missing is not null && test.Count == 1
            ? "the validation pictures are to be sorted into a folder for each class"
            : "both take the same classes' folders";
        return FormattableString.Invariant($"{root}: train has {train.Count} classes and val {test.Count}; {name} is only in {(missing is null ? "val" : "train")}: {advice}");
    }
}

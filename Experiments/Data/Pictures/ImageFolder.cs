namespace Imta.MetaWeight.Experiments.Data.Pictures;

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

        string[] classes = [.. Directory.EnumerateDirectories(root).Select(folder => Path.GetFileName(folder)).Order(StringComparer.Ordinal)];
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

    /// <summary>The pictures of each class, C numbers.</summary>
    public int[] ClassCounts() => [.. Labels.CountBy(label => label).OrderBy(pair => pair.Key).Select(pair => pair.Value)];

    private static IEnumerable<string> Pictures(string root, string name) => Directory
        .EnumerateFiles(Path.Combine(root, name), "*", SearchOption.AllDirectories)
        .Where(file => Extensions.Contains(Path.GetExtension(file), StringComparer.OrdinalIgnoreCase))
        .Select(file => Path.GetRelativePath(root, file))
        .OrderBy(file => Path.GetDirectoryName(file), StringComparer.Ordinal)
        .ThenBy(file => Path.GetFileName(file), StringComparer.Ordinal);
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

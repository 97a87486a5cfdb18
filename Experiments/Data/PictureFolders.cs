using System.IO.Hashing;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data.Pictures;

namespace Imta.MetaWeight.Experiments.Data;

/// <summary>
/// <c>data.dataset: pictures</c>: the user's own pictures in folders by class, <c>train</c> and <c>test</c> or <c>val</c>, resized by
/// their shorter side, centre-cropped and kept in memory, so that they can be trained on like CIFAR's images.
/// </summary>
internal static class PictureFolders
{
    private const string Layout = "train, and test or val, each with one subfolder per class";
    private const int Chunk = 256; // pictures decoded together

    /// <summary>Possible names of the folder of test images; the first that exists is used.</summary>
    public static readonly string[] TestNames = ["test", "val"];

    /// <summary>The settings, with the number of classes from the pictures' folder if the number is not set but a folder is.</summary>
    /// <param name="settings">The settings.</param>
    /// <param name="folder">Overrides <c>data.root</c>; null: not given.</param>
    /// <exception cref="UsageException">The folder has no classes.</exception>
    public static Settings WithClasses(Settings settings, string? folder = null)
        => settings.Data is { Dataset: DatasetKind.Pictures, Classes: null } && (folder ?? settings.Data.Root) is { } root
            ? settings with { Data = settings.Data with { Classes = ImageFolder.ClassesIn(Path.Combine(root, "train")).Length } }
            : settings;

    /// <summary>The error if the number of classes is needed but known neither from a setting nor from a folder.</summary>
    public static UsageException WithoutClasses() => new(
        $"the number of classes is unknown: set data.classes, or set data.root to a folder that has {Layout}");

    /// <summary>Reads all pictures, and hashes their pixels and labels: XXH128, in hexadecimal.</summary>
    /// <param name="options">The run's options.</param>
    /// <param name="folder">Overrides <c>data.root</c>; null: not given.</param>
    /// <param name="warnings">Receives warnings about what is skipped, unreadable or enlarged.</param>
    /// <param name="memory">This process's share of the memory, in bytes; null: all that is free.</param>
    /// <exception cref="UsageException">The folder does not have the layout, or the pictures cannot be read or kept in memory.</exception>
    public static (ImageSet Train, ImageSet Test, string Fingerprint) Load(
        DataOptions options, string? folder, List<string> warnings, long? memory)
    {
        ImageNetFolders.EnsureDecoderAvailable();
        string root = folder ?? options.Root
            ?? throw new UsageException($"no folder is set for the pictures; set one that has {Layout}, with --data DIR or data.root");
        ImageNetFolders folders = ImageNetFolders.Read(root, TestNames);
        DatasetShape shape = DatasetShape.For(options);
        folders.RequireClasses(root, shape.Classes);
        warnings.AddRange(folders.Warnings);
        if (TestNames.All(name => Directory.Exists(Path.Combine(root, name))))
        {
            warnings.Add($"{root} has test and val: val is not used, because validation images are held out of train (data.validation)");
        }

        RequireMemory(folders, shape.Side, memory);
        var hash = new XxHash128();
        ImageSet train = Read(folders.Train, shape, options.Workers, hash, warnings);
        try
        {
            hash.Append(BitConverter.GetBytes(train.Count)); // so that an image cannot move between the sets unnoticed
            return (train, Read(folders.Test, shape, options.Workers, hash, warnings), Convert.ToHexStringLower(hash.GetCurrentHash()));
        }
        catch
        {
            train.Dispose();
            throw;
        }
    }

    /// <summary>All pictures are in memory twice while the sets of the run are taken from them.</summary>
    private static void RequireMemory(ImageNetFolders folders, int side, long? memory)
    {
        int count = folders.Train.Files.Count + folders.Test.Files.Count;
        long bytes = 2L * count * 3 * side * side;
        if ((memory ?? AvailableResources.FreeMemory("/")) is { } available && bytes > available)
        {
            throw new UsageException(FormattableString.Invariant($"{count:N0} pictures of {side}×{side} pixels need ")
                + $"{ByteSize.Text(bytes)} of memory while they are read, but {ByteSize.Text(available)} is available; lower data.side, or "
                + "use data.dataset imagenet, which reads pictures as they are needed");
        }
    }

    private static ImageSet Read(ImageFolder folder, DatasetShape shape, int workers, XxHash128 hash, List<string> warnings)
    {
        using DisposeScope scope = NewDisposeScope();
        var tally = new ImageReadStatistics(warnings.Add);
        tally.ReportSkipped();
        var files = new ImageFiles(folder.Root, folder.Files, shape.Transform, workers, tally, dataset: "pictures");
        Tensor images = empty([folder.Files.Count, 3, shape.Side, shape.Side], ScalarType.Byte);
        try
        {
            foreach ((ImageBatchRequest job, Tensor pixels) in files.Read(
                AllRows(folder).Chunk(Chunk).Select(rows => files.Job(rows, null, rows))))
            {
                using (pixels)
                using (Tensor target = images.narrow(0, job.Rows[0], job.Rows.Length))
                {
                    target.copy_(pixels);
                }
            }
        }
        catch (IOException e)
        {
            throw new UsageException(e.Message.TrimEnd('.'), e);
        }

        long[] kept = [.. AllRows(folder).Where(row => !tally.Unreadable.Contains(files.PathOf(row)))];
        WarnOfSizes(folder, tally, shape.Side, warnings);
        return Kept(images, kept, folder, hash);
    }

    private static IEnumerable<long> AllRows(ImageFolder folder) => Enumerable.Range(0, folder.Files.Count).Select(row => (long)row);

    private static ImageSet Kept(Tensor images, long[] rows, ImageFolder folder, XxHash128 hash)
    {
        Tensor positions = tensor(rows), labels = tensor(Array.ConvertAll(rows, row => (long)folder.Labels[(int)row]));
        Tensor readable = rows.Length == folder.Files.Count ? images : images.index_select(0, positions);
        for (int row = 0; row < rows.Length; row++)
        {
            using Tensor image = readable.select(0, row); // a span of all of them could be too long
            hash.Append(image.bytes);
            hash.Append(BitConverter.GetBytes(folder.Labels[(int)rows[row]]));
        }

        return new ImageSet(readable, labels, positions, folder.ClassNames);
    }

    private static void WarnOfSizes(ImageFolder folder, ImageReadStatistics tally, int side, List<string> warnings)
    {
        if (tally.Enlarged > 0)
        {
            warnings.Add(FormattableString.Invariant($"{folder.Root}: {tally.Enlarged:N0} of {folder.Files.Count:N0} pictures are smaller ")
                + FormattableString.Invariant($"than {side}×{side} pixels and are enlarged; lower data.side"));
        }
    }
}

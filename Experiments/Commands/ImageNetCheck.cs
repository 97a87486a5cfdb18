using System.Globalization;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Data.Pictures;
using Imta.MetaWeight.Experiments.Training;
using Imta.MetaWeight.Experiments.Training.Checks;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta data imagenet|pictures --check DIR</c>: reads every image once and reports statistics and problems.</summary>
internal static class ImageNetCheck
{
    private const int MaxShown = 20;
    private const int UnreadableExitCode = 1;

    /// <summary>Prints the result; returns 1 if a file cannot be read.</summary>
    /// <param name="root">The folder.</param>
    /// <param name="testNames">Possible names of the test images' folder; the first that exists is read.</param>
    /// <param name="stop">Cancels the check.</param>
    /// <exception cref="UsageException">The folder does not have the layout, or this build cannot decode images.</exception>
    public static int Run(string root, string[] testNames, CancellationToken stop)
    {
        ImageNetFolders.EnsureDecoderAvailable();
        ImageNetFolders folders = ImageNetFolders.Read(root, testNames);
        RunMonitor monitor = RunMonitor.ForConsole();
        var found = new List<ImageInspection>[2];
        monitor.Track(folders.Train.Files.Count + folders.Test.Files.Count, 0, () =>
        {
            foreach ((ImageFolder folder, int set) in new[] { (folders.Train, 0), (folders.Test, 1) })
            {
                found[set] = [];
                IEnumerable<string> paths = folder.Files.Select(file => Path.Combine(folder.Root, file));
                foreach (ImageInspection one in ImageInspection.InspectAll(paths, stop))
                {
                    found[set].Add(one);
                    monitor.Advance(
                        FormattableString.Invariant($"{found[set].Count}/{folder.Files.Count} of {Path.GetFileName(folder.Root)}"));
                }
            }
        });

        foreach ((ImageFolder folder, List<ImageInspection> pictures) in new[] { folders.Train, folders.Test }.Zip(found))
        {
            Show(folder, pictures);
        }

        foreach (string warning in folders.Warnings)
        {
            Console.Error.WriteLine($"imta: warning: {warning}");
        }

        Console.Out.WriteLine($"classes: {string.Join(", ", folders.Train.ClassNames)}");
        HashSet<UInt128?> training = [.. found[0].Select(one => one.Fingerprint).Where(print => print is not null)];
        int shared = found[1].Count(one => training.Contains(one.Fingerprint));
        if (shared > 0)
        {
            Console.Error.WriteLine(
                FormattableString.Invariant($"imta: warning: {shared} of the {found[1].Count} files in ")
                + $"{Path.GetFileName(folders.Test.Root)} are also in train, byte for byte: the test accuracy may be "
                + $"overestimated by up to {OverlapCheck.Points(shared, found[1].Count)}");
        }

        ImageInspection[] unreadable = [.. found.SelectMany(pictures => pictures).Where(one => one.Problem is not null)];
        foreach (ImageInspection one in unreadable.Take(MaxShown))
        {
            Console.Error.WriteLine($"imta: {one.File} cannot be read: {one.Problem}");
        }

        if (unreadable.Length > MaxShown)
        {
            Console.Error.WriteLine(FormattableString.Invariant($"imta: and {unreadable.Length - MaxShown} more"));
        }

        return unreadable.Length == 0 ? 0 : UnreadableExitCode;
    }

    private static void Show(ImageFolder folder, List<ImageInspection> pictures)
    {
        int[] counts = folder.ClassCounts();
        string name = Path.GetFileName(folder.Root);
        Console.Out.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{name}: {pictures.Count:N0} images in {counts.Length:N0} classes, {counts.Min():N0} to {counts.Max():N0} each, "
                + $"{ByteSize.Text(pictures.Sum(one => one.Bytes))}; {pictures.Count(one => one.Problem is not null):N0} unreadable"));
        ImageHeader[] heads = [.. pictures.Select(one => one.Head).OfType<ImageHeader>()];
        if (heads.Length > 0)
        {
            string traits = string.Concat(
                ImageReadStatistics.Counted.Select(trait => (trait.Text, Count: heads.Count(head => head.Traits.HasFlag(trait.Trait))))
                    .Where(trait => trait.Count > 0)
                    .Select(trait => string.Create(CultureInfo.InvariantCulture, $", {trait.Count:N0} {trait.Text}")));
            Console.Out.WriteLine(string.Create(
                CultureInfo.InvariantCulture, $"{name}: {heads.Min(head => head.Width)} to {heads.Max(head => head.Width)} pixels wide, "
                    + $"{heads.Min(head => head.Height)} to {heads.Max(head => head.Height)} high{traits}"));
        }
    }
}

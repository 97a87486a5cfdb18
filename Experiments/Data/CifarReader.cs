using System.Globalization;
using System.IO.Hashing;

namespace Imta.MetaWeight.Experiments.Data;

/// <summary>Reads CIFAR-10 and CIFAR-100 in the official binary layout.</summary>
internal static class CifarReader
{
    // Records read at once: large enough for sequential disk access, small compared with the set.
    private const int Chunk = 5000;

    /// <summary>Reads the complete training and test sets, and the hash of their records: XXH128, in hexadecimal.</summary>
    /// <param name="format">Which data set.</param>
    /// <param name="root">The folder of its files, or its parent.</param>
    /// <param name="warnings">Receives anomalies that do not prevent use, one line each: fewer images than the original, unusable class
    /// names.</param>
    /// <exception cref="UsageException">A file is missing, unreadable, truncated, or contains an invalid label.</exception>
    public static (ImageSet Train, ImageSet Test, string Fingerprint) Read(CifarFormat format, string root, ICollection<string> warnings)
    {
        string folder = Directory.Exists(Path.Combine(root, format.Folder)) ? Path.Combine(root, format.Folder) : root;
        if (!Directory.Exists(folder))
        {
            throw new UsageException(File.Exists(folder)
                ? $"{folder} is a file; expected the folder of {format.Name}'s files. {format.Advice}"
                : $"folder '{folder}' does not exist. {format.Advice}");
        }

        // Every file is checked before the first is read, so errors are reported early.
        var trainFiles = format.TrainFiles.Select(name => Examine(format, folder, name)).ToArray();
        var testFile = Examine(format, folder, format.TestFile);
        IReadOnlyList<string> names = ClassNames(format, folder, warnings);
        var hash = new XxHash128();
        var train = ReadSet(format, trainFiles, names, hash);
        try
        {
            hash.Append(BitConverter.GetBytes(train.Count)); // so that an image cannot move between the sets unnoticed
            var test = ReadSet(format, [testFile], names, hash);
            WarnOfCount(format, folder, train.Count, format.TrainImages, "training", warnings);
            WarnOfCount(format, folder, test.Count, format.TestImages, "test", warnings);
            return (train, test, Convert.ToHexStringLower(hash.GetCurrentHash()));
        }
        catch
        {
            train.Dispose();
            throw;
        }
    }

    /// <summary>The images of one file.</summary>
    /// <param name="format">The layout.</param>
    /// <param name="path">The file.</param>
    /// <exception cref="UsageException">It is missing, unreadable, truncated, or contains an invalid label.</exception>
    public static ImageSet ReadFile(CifarFormat format, string path) => !File.Exists(path)
        ? throw new UsageException($"{path} does not exist; expected a {format.Name} file or folder. {format.Advice}")
        : ReadSet(
            format, [Examine(format, Path.GetDirectoryName(Path.GetFullPath(path))!, Path.GetFileName(path))], format.ClassNames,
            new XxHash128());

    private static RecordFile Examine(CifarFormat format, string folder, string name)
    {
        string path = Path.Combine(folder, name);
        if (Directory.Exists(path))
        {
            throw new UsageException($"{path} is a folder; expected a {format.Name} file. {format.Advice}");
        }

        if (!File.Exists(path))
        {
            throw new UsageException($"{name} is missing from {folder}. {format.Advice}");
        }

        using var stream = Open(path); // gives the file's length even for a symbolic link
        if (stream.Length == 0 || stream.Length % format.RecordBytes != 0)
        {
            throw new UsageException(Invariant(
                $"{path} has {stream.Length} bytes, which is not a positive multiple of {format.Name}'s record of ")
                + $"{format.RecordBytes} bytes: it is truncated or not a {format.Name} file. {format.Advice}");
        }

        return new RecordFile(path, checked((int)(stream.Length / format.RecordBytes)));
    }

    private static ImageSet ReadSet(CifarFormat format, IReadOnlyList<RecordFile> files, IReadOnlyList<string> names, XxHash128 hash)
    {
        using var scope = NewDisposeScope();
        long total = files.Sum(file => (long)file.Records);
        var images = empty([total, 3, ImageSet.Side, ImageSet.Side], ScalarType.Byte);
        var labels = empty([total], ScalarType.Int64);
        long start = 0;
        foreach (var file in files)
        {
            ReadFile(format, file, images.narrow(0, start, file.Records), labels.narrow(0, start, file.Records), hash);
            start += file.Records;
        }

        return new ImageSet(images, labels, arange(Held(0), Held(total), One, ScalarType.Int64), names);
    }

    // images: uint8 [n, 3, 32, 32] and labels: int64 [n], both filled.
    private static void ReadFile(CifarFormat format, RecordFile file, Tensor images, Tensor labels, XxHash128 hash)
    {
        int labelBytes = format.LabelRanges.Count;
        using var stream = Open(file.Path);
        for (int start = 0; start < file.Records; start += Chunk)
        {
            using var scope = NewDisposeScope();
            int count = Math.Min(Chunk, file.Records - start);
            var records = empty([count, format.RecordBytes], ScalarType.Byte);
            Read(stream, records.bytes);
            CheckLabels(format, file, records.bytes, start);
            hash.Append(records.bytes);
            var pixels = records.narrow(1, labelBytes, CifarFormat.ImageBytes).view(count, 3, ImageSet.Side, ImageSet.Side);
            images.narrow(0, start, count).copy_(pixels);
            labels.narrow(0, start, count).copy_(records.select(1, labelBytes - 1));
        }
    }

    private static FileStream Open(string path)
    {
        try
        {
            return new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0, FileOptions.SequentialScan);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Unreadable(path, e);
        }
    }

    private static void Read(FileStream stream, Span<byte> bytes)
    {
        try
        {
            stream.ReadExactly(bytes);
        }
        catch (IOException e)
        {
            throw Unreadable(stream.Name, e);
        }
    }

    private static UsageException Unreadable(string path, Exception cause) => new($"cannot read {path}: {cause.Message}", cause);

    private static void CheckLabels(CifarFormat format, RecordFile file, ReadOnlySpan<byte> records, int start)
    {
        for (int at = 0; at < records.Length; at += format.RecordBytes)
        {
            for (int i = 0; i < format.LabelRanges.Count; i++)
            {
                if (records[at + i] >= format.LabelRanges[i])
                {
                    long record = start + (at / format.RecordBytes);
                    throw new UsageException(Invariant(
                        $"{file.Path}, record {record} (byte {(record * format.RecordBytes) + i}): label {records[at + i]}, ")
                        + Invariant($"but {format.Name}'s labels range from 0 to {format.LabelRanges[i] - 1}: ")
                        + $"the file is damaged or from another data set. {format.Advice}");
                }
            }
        }
    }

    private static IReadOnlyList<string> ClassNames(CifarFormat format, string folder, ICollection<string> warnings)
    {
        string path = Path.Combine(folder, format.NamesFile);
        if (!File.Exists(path))
        {
            return format.ClassNames;
        }

        try
        {
            string[] names = [.. File.ReadLines(path).Select(line => line.Trim()).Where(line => line.Length > 0)];
            if (names.Length == format.ClassNames.Count)
            {
                return names;
            }

            warnings.Add(Invariant(
                $"{path} names {names.Length} classes, not {format.ClassNames.Count}: using {format.Name}'s standard names"));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            warnings.Add($"cannot read {path}: using {format.Name}'s standard class names ({e.Message})");
        }

        return format.ClassNames;
    }

    private static void WarnOfCount(
        CifarFormat format, string folder, int count, int original, string set, ICollection<string> warnings)
    {
        if (count != original)
        {
            warnings.Add(Invariant($"{folder} has {count} {set} images; the original {format.Name} has {original}"));
        }
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private sealed record RecordFile(string Path, int Records);
}

using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Data.Pictures;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Evaluation;

/// <summary>Images to classify.</summary>
/// <param name="Images">The images; ownership is transferred.</param>
/// <param name="Statistics">Counts what is read from image files; null: they are in memory.</param>
/// <param name="IsLabelled">Whether their labels are known.</param>
internal sealed record InferenceImages(ImageSet Images, ImageReadStatistics? Statistics, bool IsLabelled) : IDisposable
{
    /// <summary>A data set's test images; the others are disposed.</summary>
    public static InferenceImages TestImages(RunData data)
    {
        data.Train.Dispose();
        data.Validation.Dispose();
        data.Meta?.Dispose();
        return new InferenceImages(data.Test, data.Pictures, IsLabelled: true);
    }

    /// <summary>A file in the binary layout of the data set that the network was trained on.</summary>
    /// <exception cref="UsageException">The data set has no such files, or the file is not one.</exception>
    public static InferenceImages BinaryFile(string path, TrainedNetwork network)
    {
        CifarFormat format = CifarFormat.ForDataset(network.Settings.Data.Dataset)
            ?? throw new UsageException(
                $"--data {path}: a run on {SettingsSchema.YamlName(network.Settings.Data.Dataset.ToString())} data has no such files; "
                + "omit --data to classify the run's test images, or give a folder of pictures with --images");
        return new InferenceImages(CifarReader.ReadFile(format, path), Statistics: null, IsLabelled: true);
    }

    /// <summary>An image file, or all in a folder.</summary>
    /// <param name="path">The file or folder.</param>
    /// <param name="classifier">Determines how they are resized.</param>
    /// <param name="warn">Receives warnings about what is skipped, one line each.</param>
    /// <exception cref="UsageException">There are none.</exception>
    public static InferenceImages Pictures(string path, EarlyExitClassifier classifier, Action<string> warn)
    {
        (string folder, string[] names) = File.Exists(path)
            ? (Path.GetDirectoryName(Path.GetFullPath(path))!, [Path.GetFileName(path)])
            : (path, NamesIn(path, warn));
        var statistics = new ImageReadStatistics(warn);
        return new InferenceImages(classifier.Open(folder, names, statistics), statistics, IsLabelled: false);
    }

    /// <summary>The rows of <c>answers.csv</c>, in the images' order, without files that cannot be read.</summary>
    /// <param name="classifier">The network and its policy.</param>
    /// <param name="size">The batch size.</param>
    /// <param name="advance">Called after each batch.</param>
    public IReadOnlyList<InferenceRow> Classify(EarlyExitClassifier classifier, int size, Action advance)
    {
        Statistics?.ReportUnanswered();
        long[] positions = Images.SourceIndices.ToArray<long>();
        List<InferenceRow> rows = [];
        foreach (IReadOnlyList<EarlyExitPrediction> batch in classifier.Classify(Images, size))
        {
            int first = rows.Count;
            rows.AddRange(batch.Select((prediction, i) => Row(prediction, positions[first + i])));
            advance();
        }

        return Statistics is null ? rows : [.. rows.Where(row => !Statistics.Unreadable.Contains(Images.Files!.PathOf(row.Sample)))];
    }

    /// <summary>The share of correct predictions; null: the labels are unknown.</summary>
    public double? Accuracy(IReadOnlyList<InferenceRow> rows)
    {
        if (!IsLabelled)
        {
            return null;
        }

        var labels = Images.SourceIndices.ToArray<long>().Zip(Images.Labels.ToArray<long>()).ToDictionary();
        return rows.Average(row => labels[row.Sample] == row.Class ? 1.0 : 0);
    }

    /// <inheritdoc/>
    public void Dispose() => Images.Dispose();

    private InferenceRow Row(EarlyExitPrediction prediction, long sample) => new()
    {
        Sample = sample,
        Class = prediction.Class,
        Name = prediction.Name,
        Confidence = prediction.Confidence,
        Exit = prediction.Exit,
        Macs = prediction.Macs,
        File = Images.Files?.Names[(int)sample],
    };

    private static string[] NamesIn(string folder, Action<string> warn)
    {
        var others = new List<string>();
        string[] names = Directory.Exists(folder)
            ? [.. ImageFolder.Pictures(folder, "", others)]
            : throw new UsageException($"there is no file or folder {folder}; --images needs {ImageDecoder.Formats} files");
        if (ImageFolder.DescribeSkipped(folder, others) is { } skipped)
        {
            warn(skipped);
        }

        return names.Length > 0
            ? names
            : throw new UsageException($"{folder} contains no {ImageDecoder.Formats} files; --images needs a folder with some");
    }
}

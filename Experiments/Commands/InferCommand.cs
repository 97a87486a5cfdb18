using System.CommandLine;
using System.Diagnostics;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Data.Pictures;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta infer RUN --policy P.json [--data FILE | --images FILE|DIR]</c>: classifies by early-exit execution.</summary>
internal static class InferCommand
{
    private static readonly Option<string> Policy = new("--policy")
    {
        HelpName = "P.json",
        Description = "Exit policy: a file written by imta calibrate",
        Required = true,
    };

    private static readonly Option<string?> Data = new("--data")
    {
        HelpName = "FILE|DIR",
        Description =
            "Images in the data set's binary layout, or the data set's folder, whose test images are classified; default: the run's",
    };

    private static readonly Option<string?> Pictures = new("--images")
    {
        HelpName = "FILE|DIR",
        Description = "A JPEG, PNG, WebP or BMP file, or a folder of them, searched recursively: each is resized and its centre crop "
            + "classified",
    };

    private static readonly Option<string> Out = new("--out")
    {
        HelpName = "FILE.csv",
        Description = "The predictions",
        DefaultValueFactory = _ => "answers.csv",
    };

    private static readonly Option<int> BatchSize = NumberOption.Integer("--batch", "N", "Batch size", Predictions.Batch);

    public static Command Build()
    {
        Command command = TrainedNetworkArguments.Command(
            "infer", "Classify images, each at the first exit that is confident enough", Policy, Data, Pictures, Out,
            OutputFile.Force, BatchSize);
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        int size = TrainedNetworkArguments.Integer(arguments, BatchSize, TrainedNetworkArguments.MaxBatchSize);
        string file = arguments.GetValue(Out)!;
        using var stop = new StopSignal();
        using DisposeScope scope = NewDisposeScope();
        TrainedNetwork network = TrainedNetworkArguments.Load(arguments, arguments.GetValue(Data));
        using var classifier = new EarlyExitClassifier(
            network, TrainedNetworkArguments.Policy(arguments.GetValue(Policy)!, network));
        OutputFile.Check(file, arguments);
        string? pictures = arguments.GetValue(Pictures), data = arguments.GetValue(Data);
        (ImageSet images, ImageReadStatistics? tally) = pictures is null
            ? LoadImages(network, data)
            : LoadImageFiles(classifier, pictures, data);
        using ImageSet held = images;
        tally?.ReportUnanswered();
        (List<InferenceRow> rows, double seconds) = Classify(classifier, images, size, stop.Token);
        if (tally is not null)
        {
            rows.RemoveAll(row => tally.Unreadable.Contains(images.Files!.PathOf(row.Sample)));
            Console.WriteLine(ImageReadStatistics.Describe(tally.TakeCounts()));
        }

        if (rows.Count == 0)
        {
            throw new UsageException("none of the images can be read");
        }

        OutputFile.WrapErrors(file, () => CsvTable.Write(file, rows));
        Show(rows, pictures is null ? images : null, classifier.Network.Exits, seconds);
        Console.WriteLine($"wrote the predictions to {file}");
        return 0;
    }

    /// <summary>The rows of <c>answers.csv</c>, in the images' order, and how long they took.</summary>
    private static (List<InferenceRow> Rows, double Seconds) Classify(
        EarlyExitClassifier classifier, ImageSet images, int size, CancellationToken stop)
    {
        RunMonitor monitor = RunMonitor.ForConsole();
        int batches = (images.Count + size - 1) / size, done = 0;
        long[] positions = images.SourceIndices.ToArray<long>();
        List<InferenceRow> rows = [];
        var clock = Stopwatch.StartNew();
        monitor.Track(batches, 0, () =>
        {
            foreach (IReadOnlyList<EarlyExitPrediction> batch in classifier.Classify(images, size))
            {
                int first = rows.Count;
                rows.AddRange(batch.Select((prediction, i) => Row(prediction, positions[first + i], images.Files)));
                stop.ThrowIfCancellationRequested();
                monitor.Advance($"batch {++done}/{batches}");
            }
        });
        return (rows, clock.Elapsed.TotalSeconds);
    }

    private static InferenceRow Row(EarlyExitPrediction prediction, long sample, ImageFiles? files) => new()
    {
        Sample = sample,
        Class = prediction.Class,
        Name = prediction.Name,
        Confidence = prediction.Confidence,
        Exit = prediction.Exit,
        Macs = prediction.Macs,
        File = files?.Names[(int)sample],
    };

    private static (ImageSet Images, ImageReadStatistics? Tally) LoadImages(TrainedNetwork network, string? path)
    {
        if (path is null || Directory.Exists(path))
        {
            RunData data = TrainedNetworkArguments.LoadData(network, path);
            data.Train.Dispose();
            data.Validation.Dispose();
            data.Meta?.Dispose();
            return (data.Test, data.Pictures);
        }

        CifarFormat format = CifarFormat.ForDataset(network.Settings.Data.Dataset)
            ?? throw new UsageException(
                $"--data {path}: a run on {SettingsSchema.YamlName(network.Settings.Data.Dataset.ToString())} data has no such files; "
                + "omit --data to classify the run's test images, or give a folder of pictures with --images");
        return (CifarReader.ReadFile(format, path), null);
    }

    private static (ImageSet Images, ImageReadStatistics? Tally) LoadImageFiles(EarlyExitClassifier classifier, string path, string? data)
    {
        if (data is not null)
        {
            throw new UsageException("--images and --data are mutually exclusive; give one of them");
        }

        (string folder, string[] names) = File.Exists(path)
            ? (Path.GetDirectoryName(Path.GetFullPath(path))!, [Path.GetFileName(path)])
            : (path, NamesIn(path));
        var tally = new ImageReadStatistics(line => Console.Error.WriteLine($"warning: {line}"));
        return (classifier.Open(folder, names, tally), tally);
    }

    private static string[] NamesIn(string folder)
    {
        var others = new List<string>();
        string[] names = Directory.Exists(folder)
            ? [.. ImageFolder.Pictures(folder, "", others)]
            : throw new UsageException($"there is no file or folder {folder}; --images needs {ImageDecoder.Formats} files");
        if (ImageFolder.PassedOver(folder, others) is { } passedOver)
        {
            Console.Error.WriteLine($"warning: {passedOver}");
        }

        return names.Length > 0
            ? names
            : throw new UsageException($"{folder} contains no {ImageDecoder.Formats} files; --images needs a folder with some");
    }

    private static void Show(List<InferenceRow> rows, ImageSet? labelled, int exits, double seconds)
    {
        string accuracy = labelled is null
            ? ""
            : FormattableString.Invariant($"{100 * Accuracy(rows, labelled):0.0} % accuracy, ");
        IEnumerable<double> shares = Enumerable.Range(1, exits).Select(exit => rows.Average(row => row.Exit == exit ? 1.0 : 0));
        Console.WriteLine(FormattableString.Invariant(
            $"{rows.Count:N0} images: {accuracy}{RunMonitor.FormatPercentages(shares)} % at exits 1 to {exits}, ")
            + FormattableString.Invariant(
                $"{rows.Average(row => row.Macs):N0} multiply-adds on average, {rows.Count / seconds:0} images/s"));
    }

    private static double Accuracy(List<InferenceRow> rows, ImageSet images)
    {
        var labels = images.SourceIndices.ToArray<long>().Zip(images.Labels.ToArray<long>()).ToDictionary();
        return rows.Average(row => labels[row.Sample] == row.Class ? 1.0 : 0);
    }
}

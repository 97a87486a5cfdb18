using System.CommandLine;
using System.Diagnostics;
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
        using InferenceImages images = Open(arguments.GetValue(Pictures), arguments.GetValue(Data), network, classifier);
        (IReadOnlyList<InferenceRow> rows, double seconds) = Classify(classifier, images, size, stop.Token);
        if (images.Statistics is { } statistics)
        {
            Console.WriteLine(ImageReadStatistics.Describe(statistics.TakeCounts()));
        }

        if (rows.Count == 0)
        {
            throw new UsageException("none of the images can be read");
        }

        OutputFile.WrapErrors(file, () => CsvTable.Write(file, rows));
        Show(rows, images.Accuracy(rows), classifier.Network.Exits, seconds);
        Console.WriteLine($"wrote the predictions to {file}");
        return 0;
    }

    private static InferenceImages Open(string? pictures, string? data, TrainedNetwork network, EarlyExitClassifier classifier)
    {
        if (pictures is not null)
        {
            return data is null
                ? InferenceImages.Pictures(pictures, classifier, line => Console.Error.WriteLine($"warning: {line}"))
                : throw new UsageException("--images and --data are mutually exclusive; give one of them");
        }

        return data is null || Directory.Exists(data)
            ? InferenceImages.TestImages(TrainedNetworkArguments.LoadData(network, data))
            : InferenceImages.BinaryFile(data, network);
    }

    /// <summary>The predictions, and the seconds that they took.</summary>
    private static (IReadOnlyList<InferenceRow> Rows, double Seconds) Classify(
        EarlyExitClassifier classifier, InferenceImages images, int size, CancellationToken stop)
    {
        RunMonitor monitor = RunMonitor.ForConsole();
        int batches = (images.Images.Count + size - 1) / size, done = 0;
        IReadOnlyList<InferenceRow> rows = [];
        var clock = Stopwatch.StartNew();
        monitor.Track(batches, 0, () => rows = images.Classify(classifier, size, () =>
        {
            stop.ThrowIfCancellationRequested();
            monitor.Advance($"batch {++done}/{batches}");
        }));
        return (rows, clock.Elapsed.TotalSeconds);
    }

    private static void Show(IReadOnlyList<InferenceRow> rows, double? accuracy, int exits, double seconds)
    {
        string correct = accuracy is { } share ? FormattableString.Invariant($"{100 * share:0.0} % accuracy, ") : "";
        IEnumerable<double> shares = Enumerable.Range(1, exits).Select(exit => rows.Average(row => row.Exit == exit ? 1.0 : 0));
        Console.WriteLine(FormattableString.Invariant(
            $"{rows.Count:N0} images: {correct}{RunMonitor.FormatPercentages(shares)} % at exits 1 to {exits}, ")
            + FormattableString.Invariant(
                $"{rows.Average(row => row.Macs):N0} multiply-adds on average, {rows.Count / seconds:0} images/s"));
    }
}

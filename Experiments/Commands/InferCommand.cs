using System.CommandLine;
using System.Diagnostics;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Data.Pictures;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta infer RUN --policy P.json [--data FILE | --images DIR]</c>: answers by real early-exit execution.</summary>
internal static class InferCommand
{
    private static readonly Option<string> Policy = new("--policy") { HelpName = "P.json", Description = "Who leaves where: a file of imta calibrate", Required = true };
    private static readonly Option<string?> Data = new("--data") { HelpName = "FILE|DIR", Description = "Images in the data set's binary layout, or the data set's folder, whose test images are answered; by default the run's" };
    private static readonly Option<string?> Pictures = new("--images") { HelpName = "DIR", Description = "A folder of JPEG or PNG files, also in folders below it: each is resized and its middle answered" };
    private static readonly Option<string> Out = new("--out") { HelpName = "FILE.csv", Description = "The answers", DefaultValueFactory = _ => "answers.csv" };
    private static readonly Option<int> BatchSize = NumberOption.Whole("--batch", "N", "Images of a batch", SetAnswers.Batch);

    public static Command Build()
    {
        Command command = TrainedNetworkArguments.Command("infer", "Answer images, each at the first exit that is sure enough, and stop there", Policy, Data, Pictures, Out, BatchSize);
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        int batch = TrainedNetworkArguments.WholeNumber(arguments, BatchSize, TrainedNetworkArguments.LargestBatch);
        string file = arguments.GetValue(Out)!;
        using var stop = new Interruption();
        using DisposeScope scope = NewDisposeScope();
        using TrainedNetwork network = TrainedNetworkArguments.Load(arguments);
        PolicyFile policy = TrainedNetworkArguments.Policy(arguments.GetValue(Policy)!, network);
        OutputFile.Check(file);
        string? folder = arguments.GetValue(Pictures);
        (ImageSet images, PictureTally? tally) = folder is null ? ImagesOf(network, arguments.GetValue(Data)) : PicturesOf(network, folder, arguments.GetValue(Data), policy.ClassNames);
        using ImageSet held = images;
        tally?.TellOfAnswers();
        var answers = new List<AnswerRow>();
        var clock = Stopwatch.StartNew();
        Answer(network, policy, images, batch, answers, stop.Token);
        clock.Stop();
        if (tally is not null)
        {
            answers.RemoveAll(answer => tally.Unreadable.Contains(images.Files!.PathOf(answer.Sample)));
            Console.WriteLine(PictureTally.Describe(tally.Take()));
        }

        if (answers.Count == 0)
        {
            throw new UsageException("none of the pictures can be read");
        }

        OutputFile.Guarded(file, () => CsvTable.Write(file, answers));
        Show(answers, folder is null ? images : null, network, clock.Elapsed.TotalSeconds);
        Console.WriteLine($"the answers are in {file}");
        return 0;
    }

    private static (ImageSet Images, PictureTally? Tally) ImagesOf(TrainedNetwork network, string? place)
    {
        if (place is null || Directory.Exists(place))
        {
            RunData data = TrainedNetworkArguments.Images(network, place);
            data.Train.Dispose();
            data.Validation.Dispose();
            data.Meta?.Dispose();
            return (data.Test, data.Pictures);
        }

        CifarFormat format = CifarFormat.Of(network.Settings.Data.Dataset)
            ?? throw new UsageException($"--data {place}: a run on {SettingsSchema.YamlName(network.Settings.Data.Dataset.ToString())} data has no such files; leave --data out to answer the run's test images, or give a folder of JPEG or PNG files by --images");
        return (CifarReader.ReadFile(format, place), null);
    }

    private static (ImageSet Images, PictureTally? Tally) PicturesOf(TrainedNetwork network, string folder, string? data, IReadOnlyList<string> classNames)
    {
        if (data is not null)
        {
            throw new UsageException("--images and --data both name images; give one of them");
        }

        ImageNetFolders.NeedReader();
        string[] names = Directory.Exists(folder) ? [.. ImageFolder.Pictures(folder)] : throw new UsageException($"there is no folder {folder}; --images takes one with JPEG or PNG files in it");
        if (names.Length == 0)
        {
            throw new UsageException($"{folder} has no JPEG or PNG file; --images takes a folder with some in it");
        }

        using DisposeScope scope = NewDisposeScope();
        DataOptions options = network.Settings.Data;
        PictureShape shape = DatasetShape.Of(options).Side == ImageSet.Side ? PictureShape.Cifar : PictureShape.ImageNet;
        var tally = new PictureTally(line => Console.Error.WriteLine($"warning: {line}"));
        var files = new PictureFiles(folder, names, shape, options.Workers, tally, mayMiss: true);
        return (new ImageSet(files, zeros([names.Length], ScalarType.Int64), arange(names.Length, ScalarType.Int64), classNames), tally);
    }

    private static void Answer(TrainedNetwork network, PolicyFile file, ImageSet images, int size, List<AnswerRow> answers, CancellationToken stop)
    {
        ExitPolicy policy = file.Policy;
        using var runner = new EarlyExit(network.Network);
        long[] positions = images.Positions.ToArray<long>();
        RunMonitor monitor = RunMonitor.ForConsole();
        int batches = (images.Count + size - 1) / size, done = 0;
        monitor.Track(batches, 0, () =>
        {
            foreach (Batch batch in new BatchSource(images, file.Normalisation, network.Device).InOrder(size))
            {
                stop.ThrowIfCancellationRequested();
                using DisposeScope step = NewDisposeScope();
                using (batch)
                {
                    ExitAnswers found = runner.Run(batch.Images, (k, logits, _) => policy.Leaves(k, logits));
                    answers.AddRange(Rows(found, file, images.Files, positions.AsSpan(answers.Count)));
                }

                monitor.Advance($"batch {++done}/{batches}");
            }
        });
    }

    private static AnswerRow[] Rows(ExitAnswers found, PolicyFile policy, PictureFiles? files, ReadOnlySpan<long> positions)
    {
        float[] confidence = ExitCriteria.Confidence.Score(found.Logits).cpu().ToArray<float>();
        long[] classes = found.Logits.argmax(1).cpu().ToArray<long>(), exits = found.Exits.cpu().ToArray<long>();
        long[] samples = positions[..classes.Length].ToArray();
        return [.. classes.Select((answer, i) => new AnswerRow
        {
            Sample = samples[i],
            Class = answer,
            Name = policy.ClassNames[(int)answer],
            Confidence = confidence[i],
            Exit = (int)exits[i] + 1,
            Macs = policy.Macs[(int)exits[i]],
            File = files?.Names[(int)samples[i]],
        })];
    }

    private static void Show(List<AnswerRow> answers, ImageSet? labelled, TrainedNetwork network, double seconds)
    {
        string right = labelled is null ? "" : FormattableString.Invariant($"{100 * Right(answers, labelled):0.0} % answered as labelled, ");
        IEnumerable<double> shares = Enumerable.Range(1, network.Network.Exits).Select(exit => answers.Average(answer => answer.Exit == exit ? 1.0 : 0));
        Console.WriteLine(FormattableString.Invariant($"{answers.Count:N0} images: {right}{RunMonitor.PerExit(shares)} % by exits 1 to {network.Network.Exits}, {answers.Average(answer => answer.Macs):N0} multiply-adds on average, {answers.Count / seconds:0} images/s"));
    }

    /// <summary>The share of answers that are the labels.</summary>
    private static double Right(List<AnswerRow> answers, ImageSet images)
    {
        var labels = images.Positions.ToArray<long>().Zip(images.Labels.ToArray<long>()).ToDictionary();
        return answers.Average(answer => labels[answer.Sample] == answer.Class ? 1.0 : 0);
    }
}

using System.CommandLine;
using System.Globalization;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Inference;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta eval RUN|CHECKPOINT</c>: the tables of a network on its test set.</summary>
internal static class EvalCommand
{
    private const int MostPoints = 1000;

    private static readonly Option<string?> Out = new("--out") { HelpName = "DIR", Description = "Folder of the tables; by default the run's, for a checkpoint FILE.eval beside it" };
    private static readonly Option<int> Points = new("--points") { HelpName = "P", Description = "Budgets p = 1 … P of dynamic.csv (IMTA sweeps 40)", DefaultValueFactory = _ => TestReport.UsualPoints };
    private static readonly Option<string?> Policy = new("--policy") { HelpName = "P.json", Description = "Who leaves where in exits.csv; by default equal shares (p = 20)" };
    private static readonly Option<bool> Latency = new("--latency") { Description = "Measure how long answers take, one image at a time and in batches: latency.csv" };
    private static readonly Option<int> BatchSize = new("--batch") { HelpName = "N", Description = "Images of a batch of --latency", DefaultValueFactory = _ => SetAnswers.Batch };
    private static readonly Option<int> Repeat = new("--repeat") { HelpName = "R", Description = "Batches of each measurement of --latency", DefaultValueFactory = _ => 10 };

    public static Command Build()
    {
        Command command = TrainedNetworkArguments.Command(
            "eval", "Test a trained network: each exit, budgeted classification, calibration, latency", TrainedNetworkArguments.Data, Out, Points, Policy, Latency, BatchSize, Repeat);
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        int points = WholeNumber(arguments, Points, MostPoints), batch = WholeNumber(arguments, BatchSize, int.MaxValue), repeat = WholeNumber(arguments, Repeat, int.MaxValue);
        using DisposeScope scope = NewDisposeScope();
        using TrainedNetwork network = TrainedNetworkArguments.Load(arguments);
        ExitPolicy? policy = arguments.GetValue(Policy) is { } file ? PolicyFile.Read(file, network).Policy : null;
        IExitCriterion criterion = policy?.Criterion ?? ExitCriteria.Confidence;
        using RunData data = TrainedNetworkArguments.Images(network, arguments.GetValue(TrainedNetworkArguments.Data));
        string folder = FolderOf(arguments, network);
        RunMonitor monitor = RunMonitor.ForConsole();
        TestReport report = Ask(network, data, criterion, points, monitor);
        var files = new TestFiles(folder);
        Guarded(folder, () => report.Write(files, data.Train.ClassCounts(), criterion, policy, predictions: true));
        Show(network, report);
        if (arguments.GetValue(Latency))
        {
            IReadOnlyList<LatencyRow> rows = Measure(network, data, report, criterion, (batch, repeat), monitor);
            Guarded(folder, () => CsvTable.Write(files.Latency, rows));
            ShowLatency(rows);
        }

        Console.WriteLine($"tables are in {folder}");
        return 0;
    }

    private static int WholeNumber(ParseResult arguments, Option<int> option, int most)
    {
        int value = arguments.GetValue(option);
        return value >= 1 && value <= most
            ? value
            : throw new UsageException($"{option.Name} is {value}; it takes a whole number >= 1{(most == int.MaxValue ? "" : FormattableString.Invariant($" and <= {most}"))}");
    }

    private static string FolderOf(ParseResult arguments, TrainedNetwork network)
    {
        string source = arguments.GetValue(TrainedNetworkArguments.Source)!;
        string folder = arguments.GetValue(Out) ?? (Directory.Exists(source) ? source : $"{network.File}.eval");
        Guarded(folder, () => Directory.CreateDirectory(folder));
        return folder;
    }

    private static void Guarded(string folder, Action write)
    {
        try
        {
            write();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"{folder} cannot be written ({e.Message.TrimEnd('.')}); give another folder with --out", e);
        }
    }

    private static TestReport Ask(TrainedNetwork network, RunData data, IExitCriterion criterion, int points, RunMonitor monitor)
    {
        TestReport? report = null;
        int done = 0, batches = SetAnswers.Batches(data.Validation) + SetAnswers.Batches(data.Test);
        monitor.Track(batches, 0, () => report = new TestReport(Answers(data.Validation), Answers(data.Test), network.Cost, points));
        return report!;

        SetAnswers Answers(ImageSet set) => SetAnswers.Of(
            network.Network, set, data.Normalisation, criterion, network.Device, CancellationToken.None, () => monitor.Advance($"batch {++done}/{batches}"));
    }

    private static IReadOnlyList<LatencyRow> Measure(
        TrainedNetwork network, RunData data, TestReport report, IExitCriterion criterion, (int Batch, int Repeat) size, RunMonitor monitor)
    {
        using var measurement = new LatencyMeasurement(network, data.Test, data.Normalisation, report, criterion, size.Batch * size.Repeat);
        int done = 0, steps = measurement.Steps(size.Batch, size.Repeat);
        IReadOnlyList<LatencyRow> rows = [];
        monitor.Track(steps, 0, () => rows = measurement.Run(size.Batch, size.Repeat, () => monitor.Advance($"latency {++done}/{steps}")));
        return rows;
    }

    private static void Show(TrainedNetwork network, TestReport report)
    {
        IReadOnlyList<AnytimeRow> anytime = report.Anytime;
        Console.WriteLine(FormattableString.Invariant($"{network.File}, epoch {network.Epochs}: {network.Network.GetName()} on {anytime[0].Samples:N0} test images"));
        ConsoleTable.Write(
            ["exit", "multiply-adds", "top-1 %", "top-5 %", "loss"],
            [[.. anytime.Select(row => (string[])[Number(row.Exit, "0"), Number(row.Macs, "N0"), Percent(row.Top1), Percent(row.Top5), Number(row.Loss, "0.000")])]]);
        ConsoleTable.Write(
            ["p", "multiply-adds", "top-1 %", "share of each exit %"],
            [[.. report.Budgets.GroupBy(row => row.P).Where(budget => budget.Key % 5 == 0 || budget.Key == 1).Select(budget => (string[])
                [Number(budget.Key, "0"), Number(budget.First().TestMacs, "N0"), Percent(budget.First().TestAccuracy), RunMonitor.PerExit(budget.Select(row => row.TestShare))])]]);
    }

    private static void ShowLatency(IReadOnlyList<LatencyRow> rows) => ConsoleTable.Write(
        ["batch", "answers", "top-1 %", "median ms", "p95 ms", "images/s"],
        [.. rows.Where(row => row.P is null or 1 || row.P % 10 == 0).GroupBy(row => row.Batch).Select(size => (IReadOnlyList<string[]>)[.. size.Select(row => (string[])
            [Number(row.Batch, "0"), row.Exit is { } exit ? $"exit {exit}" : $"p = {row.P}", Percent(row.Accuracy), Number(row.MedianMs, "0.00"), Number(row.P95Ms, "0.00"), Number(row.ImagesPerSecond, "0")])])]);

    private static string Percent(double fraction) => Number(100 * fraction, "0.0");

    private static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}

using System.CommandLine;
using System.Globalization;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta eval RUN|CHECKPOINT</c>: evaluates a network on its test set and writes the tables.</summary>
internal static class EvalCommand
{
    private const int MaxPoints = 1000;
    private const int MaxRepeats = 10_000;

    private static readonly Option<string?> Out = new("--out")
    {
        HelpName = "DIR",
        Description = "Folder for the tables; default: the run folder, or FILE.eval next to a checkpoint",
    };

    private static readonly Option<int> Points =
        NumberOption.Integer("--points", "P", "Budgets p = 1 … P of dynamic.csv (IMTA sweeps 40)", EvaluationReport.DefaultPoints);

    private static readonly Option<string?> Policy = new("--policy")
    {
        HelpName = "P.json",
        Description = "Exit policy used for exits.csv; default: equal shares (p = 20)",
    };

    private static readonly Option<bool> Latency = new("--latency")
    {
        Description = "Measure inference latency, one image at a time and in batches: latency.csv",
    };

    private static readonly Option<int> BatchSize = NumberOption.Integer("--batch", "N", "Batch size for --latency", Predictions.Batch);
    private static readonly Option<int> Repeat = NumberOption.Integer("--repeat", "R", "Batches per --latency measurement", 10);

    public static Command Build()
    {
        Command command = TrainedNetworkArguments.Command(
            "eval",
            "Evaluate a trained network: each exit, budgeted classification, calibration, latency",
            TrainedNetworkArguments.Data,
            Out,
            OutputFile.Force,
            Points,
            Policy,
            Latency,
            BatchSize,
            Repeat);
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        int points = TrainedNetworkArguments.Integer(arguments, Points, MaxPoints);
        int batch = TrainedNetworkArguments.Integer(arguments, BatchSize, TrainedNetworkArguments.MaxBatchSize);
        int repeat = TrainedNetworkArguments.Integer(arguments, Repeat, MaxRepeats);
        using var stop = new StopSignal();
        using DisposeScope scope = NewDisposeScope();
        string? folderOfData = arguments.GetValue(TrainedNetworkArguments.Data);
        using TrainedNetwork network = TrainedNetworkArguments.Load(arguments, folderOfData, exports: true);
        ValidatePoints(points, network.Network.Exits);
        WarnIfUnfinished(network);
        string? policyFile = arguments.GetValue(Policy);
        PolicyFile? policy = policyFile is null ? null : TrainedNetworkArguments.Policy(policyFile, network);
        using RunData data = TrainedNetworkArguments.LoadData(network, folderOfData);
        string folder = FolderOf(arguments, network);
        RunMonitor monitor = RunMonitor.ForConsole();
        EvaluationReport report = Report(network, data, policy, points, monitor, stop.Token);
        var files = new EvaluationFiles(folder);
        bool predictions = network.Settings.Export.Predictions;
        OutputFile.WriteTo(folder, () => report.Write(files, data.Train.ClassCounts(), policy?.Policy, predictions));
        Show(network, report);
        if (policy is not null)
        {
            BudgetedOutcome test = report.Outcome(policy.Policy);
            Console.WriteLine($"policy {policyFile}, on the test images: {policy.Describe(test.Accuracy, test.MeanMacs(network.Macs))}");
            if (policy.Guarantee is { } guarantee)
            {
                string holds = policy.CheckpointSha256 == network.Hash
                    ? guarantee.Describe()
                    : $"no guarantee for the {PolicyGuarantee.Find(guarantee.Risk)!.Meaning}: "
                        + "the policy was calibrated for a different checkpoint";
                Console.WriteLine(FormattableString.Invariant($"{holds}; risk on the test images: {report.Risk(policy.Policy):0.0000}"));
            }
        }

        if (arguments.GetValue(Latency))
        {
            IReadOnlyList<LatencyRow> rows = Measure(network, data, report, (batch, repeat), monitor, stop.Token);
            OutputFile.WriteTo(folder, () => CsvTable.Write(files.Latency, rows));
            ShowLatency(rows);
        }

        Console.WriteLine($"wrote the tables to {folder}");
        return 0;
    }

    private static void ValidatePoints(int points, int exits)
    {
        try
        {
            _ = ExitShares.FromQ(EvaluationReport.Q(points), exits);
        }
        catch (ArgumentOutOfRangeException e)
        {
            throw new UsageException(
                $"--points is {points}: with {exits} exits, powers of q = p/20 exceed the range of float32; use fewer", e);
        }
    }

    private static void WarnIfUnfinished(TrainedNetwork network)
    {
        int last = TrainingPhase.ForRun(network.Settings)[^1].LastEpoch;
        if (network.Epochs > 0 && network.Epochs < last) // 0: untrained, or converted from a file without an epoch number
        {
            Console.Error.WriteLine($"warning: {network.File} is from epoch {network.Epochs} of {last}");
        }
    }

    /// <summary>The folder for the tables: by default the network's own, where those of an earlier evaluation are replaced.</summary>
    private static string FolderOf(ParseResult arguments, TrainedNetwork network)
    {
        string source = arguments.GetValue(TrainedNetworkArguments.Source)!;
        string? given = arguments.GetValue(Out);
        if (given is not null && new EvaluationFiles(given).All.FirstOrDefault(File.Exists) is { } table)
        {
            OutputFile.RequireForce(table, arguments);
        }

        string folder = given ?? (Directory.Exists(source) ? source : $"{network.File}.eval");
        OutputFile.WriteTo(folder, () =>
        {
            AtomicFile.Probe(folder);
            Directory.CreateDirectory(folder);
        });
        return folder;
    }

    private static EvaluationReport Report(
        TrainedNetwork network, RunData data, PolicyFile? policy, int points, RunMonitor monitor, CancellationToken stop)
    {
        IExitCriterion criterion = policy?.Policy.Criterion ?? ExitCriteria.Confidence;
        ExitRisk? risk = policy?.Guarantee is { } guarantee ? PolicyGuarantee.Find(guarantee.Risk) : null;
        EvaluationReport? report = null;
        int done = 0, batches = Predictions.Batches(data.Validation) + Predictions.Batches(data.Test);
        monitor.Track(batches, 0, () => report = new EvaluationReport(Predict(data.Validation), Predict(data.Test), network.Cost, points));
        return report!;

        Predictions Predict(ImageSet set)
            => network.Predict(set, data.Normalisation, criterion, stop, () => monitor.Advance($"batch {++done}/{batches}"), risk,
                network.Settings.Export.Logits);
    }

    private static IReadOnlyList<LatencyRow> Measure(
        TrainedNetwork network, RunData data, EvaluationReport report, (int Batch, int Repeat) size,
        RunMonitor monitor, CancellationToken stop)
    {
        int images = size.Batch * size.Repeat;
        using var measurement = new LatencyMeasurement(network, data.Test, data.Normalisation, report, images, size.Batch);
        int done = 0, steps = measurement.Steps(size.Batch, size.Repeat);
        IReadOnlyList<LatencyRow> rows = [];
        monitor.Track(steps, 0, () => rows = measurement.Run(size.Batch, size.Repeat, Advance));
        return rows;

        void Advance()
        {
            stop.ThrowIfCancellationRequested();
            monitor.Advance($"latency {++done}/{steps}");
        }
    }

    private static void Show(TrainedNetwork network, EvaluationReport report)
    {
        IReadOnlyList<AnytimeRow> anytime = report.Anytime;
        string epoch = network.Epochs is { } epochs ? FormattableString.Invariant($", epoch {epochs}") : "";
        Console.WriteLine(FormattableString.Invariant(
            $"{network.File}{epoch}: {network.Network.GetName()} on {anytime[0].Samples:N0} test images"));
        ConsoleTable.Write(
            ["exit", "multiply-adds", "top-1 %", "top-5 %", "loss"],
            [[.. anytime.Select(row => (string[])
                [Number(row.Exit, "0"), Number(row.Macs, "N0"), Percent(row.Top1), Percent(row.Top5), Number(row.Loss, "0.000")])]]);
        IEnumerable<DynamicRow[]> budgets = report.Budgets.GroupBy(row => row.P).Select(rows => rows.ToArray());
        ConsoleTable.Write(
            ["p", "multiply-adds", "top-1 %", "share per exit %"],
            [[.. budgets.Where(rows => rows[0].P % 5 == 0 || rows[0].P == 1).Select(rows => (string[])
                [
                    Number(rows[0].P, "0"),
                    Number(rows[0].TestMacs, "N0"),
                    Percent(rows[0].TestAccuracy),
                    RunMonitor.FormatPercentages(rows.Select(row => row.TestShare)),
                ])]]);
    }

    private static void ShowLatency(IReadOnlyList<LatencyRow> rows)
    {
        IEnumerable<LatencyRow> shown = rows.Where(row => row.P is null or 1 || row.P % 10 == 0);
        ConsoleTable.Write(
            ["batch", "exit or budget", "top-1 %", "median ms", "p95 ms", "images/s"],
            [.. shown.GroupBy(row => row.Batch).Select(size => (IReadOnlyList<string[]>)[.. size.Select(row => (string[])
                [
                    Number(row.Batch, "0"),
                    row.Exit is { } exit ? $"exit {exit}" : $"p = {row.P}",
                    Percent(row.Accuracy),
                    Number(row.MedianMs, "0.00"),
                    Number(row.P95Ms, "0.00"),
                    Number(row.ImagesPerSecond, "0"),
                ])])]);
    }

    private static string Percent(double fraction) => Number(100 * fraction, "0.0");

    private static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}

using System.CommandLine;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Benchmarks;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta bench infer [CONFIG.yaml]</c>: the speed-ups of batch-norm folding, early exiting and the vectorised sweep.</summary>
internal static class BenchInferCommand
{
    private static readonly Option<int> BatchSize = NumberOption.Integer("--batch", "N", "Batch size", 256);

    public static Command Build()
    {
        var command = new Command(
            "infer", "Early-exit execution compared with the plain forward pass, and the budgeted sweep compared with plain loops")
        {
            ConfigurationArguments.Config, ConfigurationArguments.Set, BatchSize, BenchCommand.Repeat, BenchCommand.Json,
        };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        int rounds = BenchCommand.Rounds(arguments), batch = arguments.GetValue(BatchSize);
        if (batch < 1)
        {
            throw new UsageException($"--batch is {batch}; it must be an integer >= 1");
        }

        Settings settings = BenchCommand.Read(arguments);
        Device device = ComputeDevice.Configure(settings);
        InferReport report = new(
            batch, get_num_threads(), TorchLibraries.Version, Execution(settings, batch, device, rounds), Sweep(settings, rounds));
        if (arguments.GetValue(BenchCommand.Json))
        {
            BenchCommand.Print(report);
        }
        else
        {
            Show(settings, report);
        }

        return 0;
    }

    private static ExecutionReport Execution(Settings settings, int batch, Device device, int rounds)
    {
        using var bench = new InferBench(settings, batch, device);
        (string Name, double[] Shares, Compaction Compaction)[] patterns =
        [
            ("a quarter each at exits 1 and 2, the rest at the last", Quarters(bench.Macs.Count), Compaction.WhenBeneficial),
            ("equal shares at each exit", EqualShares(bench.Macs.Count), Compaction.WhenBeneficial),
            ("equal shares at each exit, rows never dropped", EqualShares(bench.Macs.Count), Compaction.Never),
        ];
        double[] last = [.. Enumerable.Repeat(0.0, bench.Macs.Count - 1), 1];
        TimingSeries[] series = TimingSeries.MeasureInterleaved(
            [
                bench.FullForward(), bench.WithEarlyExits("all at the last exit", last, Compaction.WhenBeneficial),
                .. patterns.Select(pattern => bench.WithEarlyExits(pattern.Name, pattern.Shares, pattern.Compaction))
            ],
            rounds,
            BenchCommand.Progress(rounds));
        (TimingSeries plain, TimingSeries folded) = (series[0], series[1]);
        return new ExecutionReport(
            bench.Macs.Count,
            plain.Median,
            folded.Median,
            folded.RatioTo(plain),
            [.. patterns.Zip(series[2..], (pattern, times) =>
            {
                double promised = 1 / bench.MacShare(pattern.Shares), speedUp = folded.RatioTo(times);
                return new PatternReport(pattern.Name, pattern.Shares, times.Median, promised, speedUp, speedUp / promised);
            })]);
    }

    private static SweepReport Sweep(Settings settings, int rounds)
    {
        using var bench = new SweepBench(settings.Seed);
        TimingSeries[] series = TimingSeries.MeasureInterleaved(
            [bench.Vectorised(), bench.ArrayLoop(), bench.TensorLoop()], rounds, BenchCommand.Progress(rounds));
        (TimingSeries sweep, TimingSeries arrays, TimingSeries tensors) = (series[0], series[1], series[2]);
        return bench.ResultsAgree
            ? new SweepReport(
                SweepBench.Points, SweepBench.Samples, sweep.Median, arrays.Median, tensors.Median, tensors.RatioTo(sweep),
                arrays.RatioTo(sweep))
            : throw new InvalidOperationException("the vectorised sweep and the loops chose different exits.");
    }

    private static double[] Quarters(int exits)
        => [.. Enumerable.Range(0, exits).Select(k => (k < 2 ? 0.25 : 0) + (k == exits - 1 ? 1 - (0.25 * Math.Min(2, exits)) : 0))];

    private static double[] EqualShares(int exits) => [.. Enumerable.Repeat(1.0 / exits, exits)];

    private static void Show(Settings settings, InferReport report)
    {
        ExecutionReport execution = report.Execution;
        string threads = Terminal.Count(report.Threads, "thread");
        Console.WriteLine($"{settings.Name}: batch {report.Batch}, {threads}, libtorch {report.Libtorch}; medians");
        ConsoleTable.Write(
            ["", "seconds", "speed-up", "predicted by MACs", "achieved"],
            [
                [
                    ["plain forward pass, all exits", BenchCommand.FormatNumber(execution.PlainSeconds, "0.0000"), "", "", ""],
                    [
                        "norm folded, channels last", BenchCommand.FormatNumber(execution.FoldedSeconds, "0.0000"), "", "",
                        $"{BenchCommand.FormatNumber(execution.FoldedOverPlain, "0.000")} of the plain time"
                    ],
                ],
                [.. execution.Patterns.Select(pattern => (string[])
                    [
                        $"{pattern.Name} ({RunMonitor.FormatPercentages(pattern.Shares)} %)",
                        BenchCommand.FormatNumber(pattern.Seconds, "0.0000"), BenchCommand.FormatNumber(pattern.SpeedUp, "0.00"),
                        BenchCommand.FormatNumber(pattern.PromisedSpeedUp, "0.00"), BenchCommand.FormatNumber(pattern.OfPromise, "0.00")
                    ])],
                [
                    [
                        $"sweep of {report.Sweep.Points} budgets, {report.Sweep.Samples} samples",
                        BenchCommand.FormatNumber(report.Sweep.VectorisedSeconds, "0.0000"), "", "", ""
                    ],
                    [
                        "the same, looping over tensor elements", BenchCommand.FormatNumber(report.Sweep.TensorLoopSeconds, "0.0000"), "",
                        "", $"{BenchCommand.FormatNumber(report.Sweep.TensorLoopRatio, "0")} × the sweep's time"
                    ],
                    [
                        "the same, looping over arrays", BenchCommand.FormatNumber(report.Sweep.ArrayLoopSeconds, "0.0000"), "", "",
                        $"{BenchCommand.FormatNumber(report.Sweep.ArrayLoopRatio, "0.0")} × the sweep's time"
                    ],
                ],
            ]);
    }

    private sealed record InferReport(int Batch, int Threads, string Libtorch, ExecutionReport Execution, SweepReport Sweep);

    private sealed record ExecutionReport(
        int Exits, double PlainSeconds, double FoldedSeconds, double FoldedOverPlain, IReadOnlyList<PatternReport> Patterns);

    private sealed record PatternReport(
        string Name, IReadOnlyList<double> Shares, double Seconds, double PromisedSpeedUp, double SpeedUp, double OfPromise);

    private sealed record SweepReport(
        int Points, int Samples, double VectorisedSeconds, double ArrayLoopSeconds, double TensorLoopSeconds,
        double TensorLoopRatio, double ArrayLoopRatio);
}

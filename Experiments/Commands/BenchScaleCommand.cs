using System.CommandLine;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Benchmarks;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta bench scale [CONFIG.yaml]</c>: several single-threaded processes versus one multi-threaded process.</summary>
internal static class BenchScaleCommand
{
    private const double Mib = 1 << 20;
    private const long ExchangeBytes = 16 << 20;
    private const int ExchangesPerRound = 20;
    private static readonly TimeSpan Timeout = TimeSpan.FromMinutes(10);

    private static readonly Option<int> Processes = NumberOption.Integer(
        "--processes", "N", "Number of processes, and of threads of the single process they are compared with", 2);

    public static Command Build()
    {
        var command = new Command("scale", "Time a step on several single-threaded processes against one process with as many threads")
        {
            ConfigurationArguments.Config, ConfigurationArguments.Set, Processes, BenchCommand.Repeat, BenchCommand.Json,
        };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        int rounds = BenchCommand.Rounds(arguments);
        int processes = arguments.GetValue(Processes);
        RankAssignment? assignment = RankAssignment.Current();
        if (processes < 2 || (assignment is not null && assignment.Size != processes))
        {
            throw new UsageException(processes < 2
                ? $"--processes is {processes}; it must be at least 2"
                : $"--processes is {processes}, but the launcher started {assignment!.Size} ranks; start this benchmark without a "
                    + "launcher; it starts its own ranks on this machine");
        }

        Settings settings = BenchCommand.Read(
            arguments,
            new SettingsOverride("--processes", "processes", FormattableString.Invariant($"{processes}"))) with
        { Device = "cpu" };
        using var stop = new StopSignal();
        return assignment is null
            ? LocalLauncher.Run(processes, Environment.GetCommandLineArgs()[1..], stop)
            : RankRunner.Run(assignment, Timeout, ranks => Measure(arguments, settings, rounds, ranks.ProcessGroup), stop.Token);
    }

    private static int Measure(ParseResult arguments, Settings settings, int rounds, ProcessGroup processGroup)
    {
        int processes = processGroup.Shard.Count;
        ComputeDevice.Configure(settings, localSize: processes);
        using var bench = new ScaleBench(settings, processGroup);
        Row[] rows = [.. new[] { StepKind.Plain(settings.Meta), StepKind.Weighted(settings.Meta, settings.Meta.Gradient) }
            .Select(kind => Measured(bench, kind, rounds, processGroup.IsRankZero ? BenchCommand.Progress(rounds) : _ => { }))];
        TimingSeries exchange = TimingSeries.MeasureInterleaved([bench.Exchange(ExchangeBytes)], ExchangesPerRound * rounds, _ => { })[0];
        processGroup.AllReduceFlags(stop: false);
        if (processGroup.IsRankZero)
        {
            Show(settings, processes, rows, exchange, arguments.GetValue(BenchCommand.Json));
        }

        return 0;
    }

    private static Row Measured(ScaleBench bench, StepKind kind, int rounds, Action<int> progress)
    {
        TimingSeries[] series = TimingSeries.MeasureInterleaved([bench.SingleProcess(kind), bench.MultiProcess(kind)], rounds, progress);
        return new Row(kind.Name, series[0], series[1], bench.BytesOfStep);
    }

    private static void Show(Settings settings, int processes, Row[] rows, TimingSeries exchange, bool json)
    {
        if (json)
        {
            BenchCommand.Print(new
            {
                Batch = settings.Train.Batch,
                Processes = processes,
                Libtorch = TorchLibraries.Version,
                Steps = rows.Select(row => new
                {
                    row.Name,
                    OneProcess = row.One.Seconds,
                    SeveralProcesses = row.All.Seconds,
                    Throughput = row.Throughput,
                    row.BytesSummed,
                }),
                ExchangeBytes,
                Exchange = exchange.Seconds,
            });
            return;
        }

        Console.WriteLine($"{settings.Name}: batch {settings.Train.Batch}, libtorch {TorchLibraries.Version}; seconds per step of the "
            + "whole batch, throughput relative to one process, MiB all-reduced by each process");
        ConsoleTable.Write(
            ["", $" 1 process x {processes} threads", $" {processes} processes x 1 thread", " throughput", " MiB / step"],
            [[.. rows.Select(row => (string[])
            [
                row.Name, BenchCommand.FormatNumber(row.One.Median, "0.0000", 22), BenchCommand.FormatNumber(
                    row.All.Median, "0.0000", 21), BenchCommand.FormatNumber(
                    row.Throughput, "0.00", 11), BenchCommand.FormatNumber(
                    row.BytesSummed / Mib, "0.0", 11),
            ])]]);
        Console.WriteLine(FormattableString.Invariant($"an all-reduce of {ExchangeBytes / Mib:0} MiB: {1000 * exchange.Median:0.00} ms"));
    }

    private sealed record Row(string Name, TimingSeries One, TimingSeries All, long BytesSummed)
    {
        /// <summary>Throughput of several processes relative to one: the median of the per-round ratios.</summary>
        public double Throughput => One.RatioTo(All);
    }
}

using System.CommandLine;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Benchmarks;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta bench step [CONFIG.yaml]</c>: one kind of step: its total time or the time of each phase.</summary>
internal static class BenchStepCommand
{
    private static readonly Option<bool> Profile = new("--profile") { Description = "Break the time down by the phases of the step" };
    private static readonly Option<string?> Gradient = new("--gradient")
    {
        HelpName = "method",
        Description = "Time a half-batch step "
        + "with learned weights, using this meta-gradient method, instead of the plain step"
    };

    public static Command Build()
    {
        var command = new Command("step", "Time one kind of training step, optionally broken down by phase")
        {
            ConfigurationArguments.Config, ConfigurationArguments.Set, Profile, Gradient, BenchCommand.Repeat, BenchCommand.Json,
        };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        int rounds = BenchCommand.Rounds(arguments);
        Settings settings = BenchCommand.Read(arguments);
        StepKind kind = arguments.GetValue(Gradient) is { } method
            ? StepKind.Weighted(settings.Meta, BenchCommand.ParseMethod(method))
            : StepKind.Plain(settings.Meta);
        using var bench = new StepBench(settings, ComputeDevice.Configure(settings));
        BenchmarkCase contender = bench.Contender(kind);
        bool json = arguments.GetValue(BenchCommand.Json);
        if (arguments.GetValue(Profile))
        {
            ShowPhases(settings, contender, Profiled(bench, contender, rounds), json);
        }
        else
        {
            Show(settings, TimingSeries.MeasureInterleaved([contender], rounds, BenchCommand.Progress(rounds))[0], json);
        }

        return 0;
    }

    /// <summary>The mean seconds per half batch, after a warm-up step, and the share of each phase.</summary>
    private static (double Seconds, IReadOnlyDictionary<string, double> Shares) Profiled(
        StepBench bench, BenchmarkCase contender, int steps)
    {
        contender.Measure();
        double seconds = 0;
        var times = new PhaseTimes(TimeProvider.System, bench.Wait);
        for (int step = 0; step < steps; step++)
        {
            times.Measure(() => seconds += contender.Measure());
        }

        return (seconds / steps, times.Shares);
    }

    private static void Show(Settings settings, TimingSeries series, bool json)
    {
        if (json)
        {
            BenchCommand.Print(new
            {
                Step = series.Name,
                HalfBatch = settings.Train.Batch / 2,
                Threads = get_num_threads(),
                Libtorch = TorchLibraries.Version,
                series.Median,
                series.Min,
                series.Max,
                series.Seconds,
            });
            return;
        }

        Console.WriteLine($"{BenchCommand.Title(settings)}; seconds per half batch");
        ConsoleTable.Write(
            ["", " median", "    min", "    max"],
            [
                [
                    [
                        series.Name,
                        .. new[] { series.Median, series.Min, series.Max }.Select(time => BenchCommand.FormatNumber(time, "0.0000"))
                    ]
                ]
            ]);
    }

    private static void ShowPhases(
        Settings settings, BenchmarkCase contender, (double Seconds, IReadOnlyDictionary<string, double> Shares) profile, bool json)
    {
        if (json)
        {
            BenchCommand.Print(new
            {
                Step = contender.Name,
                HalfBatch = settings.Train.Batch / 2,
                Threads = get_num_threads(),
                Libtorch = TorchLibraries.Version,
                profile.Seconds,
                Phases = profile.Shares.Select(
                    phase => new { Name = phase.Key, Seconds = phase.Value * profile.Seconds, Share = phase.Value }),
            });
            return;
        }

        Console.WriteLine($"{BenchCommand.Title(settings)}; one half batch, {contender.Name}: "
            + $"{BenchCommand.FormatNumber(1000 * profile.Seconds, "0.0", 0)} ms");
        ConsoleTable.Write(
            ["phase", "       ms", "percent"],
            [[.. profile.Shares.Select(phase => (string[])
                [
                    phase.Key, BenchCommand.FormatNumber(1000 * phase.Value * profile.Seconds, "0.000", 9),
                    BenchCommand.FormatNumber(100 * phase.Value, "0.0")
                ])]]);
    }
}

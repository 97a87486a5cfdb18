using System.CommandLine;
using Imta.MetaWeight.Experiments.Benchmarks;
using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta bench step [CONFIG.yaml]</c>: one kind of step, its time or the time of each operator.</summary>
internal static class BenchStepCommand
{
    private static readonly Option<bool> Profile = new("--profile") { Description = "Time each operator of libtorch" };
    private static readonly Option<string?> Gradient = new("--gradient") { HelpName = "method", Description = "A part of the step with learned weights, by this method of the meta gradient, instead of the plain step" };

    public static Command Build()
    {
        var command = new Command("step", "Time one kind of training step, or each operator in it")
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
            ? StepKind.Weighted(settings.Meta, BenchCommand.Method(method))
            : StepKind.Plain(settings.Meta);
        using var bench = new StepBench(settings, Machine.Prepare(settings));
        Contender contender = bench.Contender(kind);
        bool json = arguments.GetValue(BenchCommand.Json);
        if (arguments.GetValue(Profile))
        {
            Show(settings, kind, Profiled(contender, rounds, kind.Parts, settings.Device != "cpu"), json);
        }
        else
        {
            Show(settings, Series.Alternate([contender], rounds, BenchCommand.Progress(rounds))[0], json);
        }

        return 0;
    }

    private static StepProfile Profiled(Contender contender, int steps, int parts, bool waitForDevice)
    {
        try
        {
            return StepProfile.Of(contender, steps, parts, waitForDevice);
        }
        catch (DllNotFoundException e)
        {
            throw new UsageException("--profile needs libimta_native, which NuGet's libtorch goes without; build against a libtorch with headers: see ./imta doctor", e);
        }
    }

    private static void Show(Settings settings, Series series, bool json)
    {
        if (json)
        {
            BenchCommand.Print(new
            {
                Step = series.Name,
                HalfBatch = settings.Train.Batch / 2,
                Threads = get_num_threads(),
                Libtorch = __version__,
                series.Median,
                series.Min,
                series.Max,
                series.Seconds,
            });
            return;
        }

        Console.WriteLine($"{BenchCommand.Title(settings)}; seconds of one part");
        ConsoleTable.Write(
            ["", " median", "    min", "    max"],
            [[[series.Name, .. new[] { series.Median, series.Min, series.Max }.Select(time => BenchCommand.Text(time, "0.0000"))]]]);
    }

    private static void Show(Settings settings, StepKind kind, StepProfile profile, bool json)
    {
        if (json)
        {
            BenchCommand.Print(new
            {
                Step = kind.Name,
                HalfBatch = settings.Train.Batch / 2,
                Threads = get_num_threads(),
                Libtorch = __version__,
                profile.Seconds,
                profile.OutsideSeconds,
                Operators = profile.Operators.Select(one => new { one.Name, one.Calls, one.SelfSeconds, Share = one.SelfSeconds / profile.Seconds }),
            });
            return;
        }

        Console.WriteLine($"{BenchCommand.Title(settings)}; one part, {kind.Name}: {BenchCommand.Text(1000 * profile.Seconds, "0.0", 0)} ms; each operator without those that it calls");
        ConsoleTable.Write(
            ["operator", "    calls", " self, ms", "percent"],
            [
                [.. profile.Operators.Select(one => Row(one.Name, BenchCommand.Text(one.Calls, "0.#", 9), one.SelfSeconds))],
                [Row("outside operators", "", profile.OutsideSeconds)],
            ]);

        string[] Row(string name, string calls, double seconds)
            => [name, calls, BenchCommand.Text(1000 * seconds, "0.000", 9), BenchCommand.Text(100 * seconds / profile.Seconds, "0.0")];
    }
}

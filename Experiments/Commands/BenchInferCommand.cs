using System.CommandLine;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Benchmarks;
using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta bench infer [CONFIG.yaml]</c>: what folding, leaving early and the vectorised sweep are worth.</summary>
internal static class BenchInferCommand
{
    private static readonly Option<int> BatchSize = new("--batch") { HelpName = "N", Description = "Images of a batch", DefaultValueFactory = _ => 256 };

    public static Command Build()
    {
        var command = new Command("infer", "Early-exit execution beside the plain forward pass, and the budgeted sweep beside a plain loop")
        {
            ConfigurationArguments.Config, ConfigurationArguments.Set, BatchSize, BenchCommand.Repeat, BenchCommand.Json,
        };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        int rounds = BenchCommand.Rounds(arguments);
        Settings settings = BenchCommand.Read(arguments);
        using var bench = new InferBench(settings, arguments.GetValue(BatchSize), Machine.Prepare(settings));
        int exits = bench.Macs.Count;
        double[] none = [.. Enumerable.Range(0, exits).Select(k => k == exits - 1 ? 1.0 : 0)];
        double[] early = [.. Enumerable.Range(0, exits).Select(k => k < 2 ? 0.25 : k == exits - 1 ? 0.5 : 0)];
        double[] even = [.. Enumerable.Repeat(1.0 / exits, exits)];
        Series[] series = Series.Alternate(
        [
            bench.Plain(), bench.Leaving("full", none, Compaction.WhenItPays), bench.Leaving("early", early, Compaction.WhenItPays), bench.Leaving("even", even, Compaction.WhenItPays),
            bench.Leaving("early always", early, Compaction.Always), bench.Leaving("even always", even, Compaction.Always), bench.Leaving("even never", even, Compaction.Never),
        ], rounds, BenchCommand.Progress(rounds));
        double full = series[1].Median;
        Console.WriteLine($"full {full / series[0].Median:0.000} of plain; early mac {1 / bench.MacShare(early):0.000}; even {1 / bench.MacShare(even):0.000}");
        foreach (Series s in series)
        {
            Console.WriteLine($"{s.Name} {s.Median:0.0000} s, speed-up {full / s.Median:0.000}");
        }

        Console.WriteLine($"early {full / series[2].Median * bench.MacShare(early):0.000} even {full / series[3].Median * bench.MacShare(even):0.000}");
        return 0;
    }
}

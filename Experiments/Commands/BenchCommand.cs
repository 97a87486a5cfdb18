using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Imta.MetaWeight.Experiments.Benchmarks;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Meta;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta bench meta-step [CONFIG.yaml]</c>: how long a step takes beside another, measured in turns in one run.</summary>
internal static class BenchCommand
{
    private static readonly Option<int?> Batch = new("--batch") { HelpName = "N", Description = "Images of a batch, that is, of two parts, instead of the configuration's train.batch" };
    private static readonly Option<string[]> Gradient = new("--gradient") { HelpName = "method,...", Description = "Methods of the meta gradient to measure; by default all", AllowMultipleArgumentsPerToken = false };
    private static readonly Option<int> Repeat = new("--repeat") { HelpName = "R", Description = "Times of each, after one that does not count", DefaultValueFactory = _ => 7 };
    private static readonly Option<string?> Against = new("--against") { HelpName = "COMMAND", Description = "Measure another program in turns, such as 'python3 bench/pytorch_step.py --serve'" };
    private static readonly Option<bool> Json = new("--json") { Description = "Print the times as one JSON object" };
    private static readonly JsonSerializerOptions Format = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    public static Command Build()
    {
        var step = new Command("meta-step", "Time a part of a training step: plain, with learned weights by each method, and by another program")
        {
            ConfigurationArguments.Config, ConfigurationArguments.Set, Batch, Gradient, Repeat, Against, Json,
        };
        step.Validators.Add(ConfigurationArguments.RefuseUnknownOption);
        step.SetAction(Run);
        return new Command("bench", "Measure speed: ratios of things that ran in turns") { step };
    }

    private static int Run(ParseResult arguments)
    {
        int repeat = arguments.GetValue(Repeat);
        if (repeat < 1)
        {
            throw new UsageException($"--repeat is {repeat}; it takes a whole number >= 1");
        }

        Settings settings = Read(arguments);
        MetaGradientMethod[] methods = Methods(arguments.GetValue(Gradient) ?? []);
        using var bench = new MetaStepBench(settings, Machine.Prepare(settings));
        using Yardstick? yardstick = arguments.GetValue(Against) is { } command ? Yardstick.Start(command, bench.Measures) : null;
        List<Contender> contenders = [bench.Plain(), .. methods.Select(bench.Weighted)];
        if (yardstick is not null)
        {
            contenders.Add(new Contender("other, plain", () => yardstick.Measure("plain")));
            contenders.Add(new Contender("other, meta", () => yardstick.Measure("meta")));
        }

        Series[] series = Series.Alternate(contenders, repeat, round => Console.Error.WriteLine(round == 0 ? "warm" : $"round {round}/{repeat}"));
        Show(settings, series, arguments.GetValue(Json));
        return 0;
    }

    private static Settings Read(ParseResult arguments)
    {
        SettingsOverride[] batch = arguments.GetValue(Batch) is { } given
            ? [new SettingsOverride("--batch", "train.batch", given.ToString(CultureInfo.InvariantCulture))]
            : [];
        Settings settings = ConfigurationArguments.Read(arguments, batch, fallback: "benchmark.yaml");
        return settings.Train.Batch % 2 == 0
            ? settings
            : throw new UsageException($"train.batch is {settings.Train.Batch}; parts are compared, so it has to be even: --batch {settings.Train.Batch + 1}");
    }

    private static MetaGradientMethod[] Methods(string[] given)
    {
        string[] names = [.. given.SelectMany(list => list.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))];
        return names.Length == 0
            ? Enum.GetValues<MetaGradientMethod>()
            : [.. names.Select(name => SettingsLoader.Parse("", "the command line", [new SettingsOverride("--gradient", "meta.gradient", name)]).Meta.Gradient)];
    }

    private static void Show(Settings settings, Series[] series, bool json)
    {
        if (json)
        {
            Console.WriteLine(JsonSerializer.Serialize(
                new
                {
                    HalfBatch = settings.Train.Batch / 2,
                    Threads = get_num_threads(),
                    Libtorch = __version__,
                    Series = series.Select(one => new { one.Name, one.Median, one.Min, one.Max, one.Seconds, Ratios = series.ToDictionary(other => other.Name, other => one.Median / other.Median) }),
                },
                Format));
            return;
        }

        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{settings.Name}: half batch {settings.Train.Batch / 2}, {get_num_threads()} threads, libtorch {__version__}; seconds of one part, and ratios of the medians"));
        Console.WriteLine($"{"",-18} {"median",8} {"min",8} {"max",8}   " + string.Concat(series.Select(one => $"{"/ " + one.Name,16}")));
        foreach (Series one in series)
        {
            string ratios = string.Concat(series.Select(other => (one.Median / other.Median).ToString("0.00", CultureInfo.InvariantCulture).PadLeft(16)));
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{one.Name,-18} {one.Median,8:0.000} {one.Min,8:0.000} {one.Max,8:0.000}   {ratios}"));
        }
    }
}

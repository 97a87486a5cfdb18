using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta bench meta-step|step|data|infer|scale [CONFIG.yaml]</c>, and the code they share.</summary>
internal static class BenchCommand
{
    public static readonly Option<int> Repeat = NumberOption.Integer("--repeat", "R", "Measured rounds, after one warm-up round", 7);
    public static readonly Option<bool> Json = new("--json") { Description = "Print one JSON object" };
    public static readonly JsonSerializerOptions JsonOptions
        = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    public static Command Build()
    {
        var command = new Command("bench", "Measure speed and memory; whatever is compared runs in alternation");
        Command[] measurements =
        [
            BenchMetaStepCommand.Build(), BenchStepCommand.Build(), BenchDataCommand.Build(), BenchInferCommand.Build(),
            BenchScaleCommand.Build(),
        ];
        foreach (Command measurement in measurements)
        {
            command.Add(measurement);
        }

        return command;
    }

    /// <summary>The number of repetitions.</summary>
    /// <exception cref="UsageException">The number is less than 1.</exception>
    public static int Rounds(ParseResult arguments)
    {
        int repeat = arguments.GetValue(Repeat);
        return repeat >= 1 ? repeat : throw new UsageException($"--repeat is {repeat}; it must be an integer >= 1");
    }

    /// <summary>The settings of a benchmark, with an even batch size.</summary>
    /// <exception cref="UsageException">The settings are invalid, or the batch size is odd.</exception>
    public static Settings Read(ParseResult arguments, params SettingsOverride[] more)
    {
        Settings settings = ConfigurationArguments.Read(arguments, more, fallback: "benchmark.yaml");
        return settings.Train.Batch % 2 == 0
            ? settings
            : throw new UsageException($"train.batch is {settings.Train.Batch}; half batches are compared, so it must be even: --set "
                + $"train.batch={settings.Train.Batch + 1}");
    }

    /// <summary>The method named by an argument of <c>--gradient</c>.</summary>
    /// <exception cref="UsageException">There is no such method.</exception>
    public static MetaGradientMethod ParseMethod(string name)
        => SettingsLoader.Parse("", "the command line", [new SettingsOverride("--gradient", "meta.gradient", name)]).Meta.Gradient;

    /// <summary>Reports the progress of the measurement.</summary>
    public static Action<int> Progress(int rounds) => round => Console.Error.WriteLine(round == 0 ? "warm-up" : $"round {round}/{rounds}");

    /// <summary>The measured configuration, for the first line of a table.</summary>
    public static string Title(Settings settings)
        => $"{settings.Name}: half batch {settings.Train.Batch / 2}, {Terminal.Count(get_num_threads(), "thread")}, "
            + $"libtorch {TorchLibraries.Version}";

    /// <summary>Formats a number for a table column.</summary>
    public static string FormatNumber(double value, string format, int width = 7)
        => value.ToString(format, CultureInfo.InvariantCulture).PadLeft(width);

    public static void Print(object report) => Console.WriteLine(JsonSerializer.Serialize(report, JsonOptions));
}

using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta bench meta-step|step|data|infer|scale [CONFIG.yaml]</c>, and what they share.</summary>
internal static class BenchCommand
{
    public static readonly Option<int> Repeat = NumberOption.Whole("--repeat", "R", "Times of each, after one that does not count", 7);
    public static readonly Option<bool> Json = new("--json") { Description = "Print one JSON object" };
    public static readonly JsonSerializerOptions Format = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    public static Command Build()
    {
        var command = new Command("bench", "Measure speed and memory: things that compare ran in turns");
        foreach (Command measurement in (Command[])[BenchMetaStepCommand.Build(), BenchStepCommand.Build(), BenchDataCommand.Build(), BenchInferCommand.Build(), BenchScaleCommand.Build()])
        {
            measurement.Validators.Add(ConfigurationArguments.RefuseUnknownOption);
            command.Add(measurement);
        }

        return command;
    }

    /// <summary>How often each is measured.</summary>
    /// <exception cref="UsageException">Not at all.</exception>
    public static int Rounds(ParseResult arguments)
    {
        int repeat = arguments.GetValue(Repeat);
        return repeat >= 1 ? repeat : throw new UsageException($"--repeat is {repeat}; it takes a whole number >= 1");
    }

    /// <summary>The settings of a benchmark, with a batch that has two equal parts.</summary>
    /// <exception cref="UsageException">The settings are wrong, or the batch is odd.</exception>
    public static Settings Read(ParseResult arguments, params SettingsOverride[] more)
    {
        Settings settings = ConfigurationArguments.Read(arguments, more, fallback: "benchmark.yaml");
        return settings.Train.Batch % 2 == 0
            ? settings
            : throw new UsageException($"train.batch is {settings.Train.Batch}; parts are compared, so it has to be even: --set train.batch={settings.Train.Batch + 1}");
    }

    /// <summary>The method that an argument of <c>--gradient</c> names.</summary>
    /// <exception cref="UsageException">There is no such method.</exception>
    public static MetaGradientMethod Method(string name)
        => SettingsLoader.Parse("", "the command line", [new SettingsOverride("--gradient", "meta.gradient", name)]).Meta.Gradient;

    /// <summary>Says how far the measurement is.</summary>
    public static Action<int> Progress(int rounds) => round => Console.Error.WriteLine(round == 0 ? "warm" : $"round {round}/{rounds}");

    /// <summary>What was measured, for a table's first line.</summary>
    public static string Title(Settings settings)
        => $"{settings.Name}: half batch {settings.Train.Batch / 2}, {get_num_threads()} threads, libtorch {TorchLibraries.Version}";

    /// <summary>A number for a column of a table.</summary>
    public static string Text(double value, string format, int width = 7) => value.ToString(format, CultureInfo.InvariantCulture).PadLeft(width);

    public static void Print(object report) => Console.WriteLine(JsonSerializer.Serialize(report, Format));
}

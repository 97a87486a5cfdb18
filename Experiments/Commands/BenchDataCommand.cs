using System.CommandLine;
using Imta.MetaWeight.Experiments.Benchmarks;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta bench data [CONFIG.yaml]</c>: how fast images are augmented, and how fast the plain training step consumes them.</summary>
internal static class BenchDataCommand
{
    private static readonly Option<string?> Data = new("--data") { HelpName = "DIR", Description = "The folder of the configuration's data set; by default images of random bytes" };

    public static Command Build()
    {
        var command = new Command("data", "Augmented images per second, beside what a plain training step consumes")
        {
            ConfigurationArguments.Config, ConfigurationArguments.Set, Data, BenchCommand.Repeat, BenchCommand.Json,
        };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        int rounds = BenchCommand.Rounds(arguments);
        Settings settings = BenchCommand.Read(arguments);
        if (DatasetShape.Of(settings.Data.Dataset).Side != ImageSet.Side)
        {
            throw new UsageException($"data.dataset is {SettingsSchema.YamlName(settings.Data.Dataset.ToString())}; images of {ImageSet.Side} x {ImageSet.Side} pixels are augmented: cifar10, cifar100 or generated");
        }

        Device device = Machine.Prepare(settings);
        using var steps = new StepBench(settings, device);
        (ImageSet images, Normalisation normalisation) = Images(settings, arguments.GetValue(Data));
        using var augmentation = new AugmentationBench(images, normalisation, settings, device, steps.Wait);
        Contender[] contenders = [augmentation.Contender(), steps.Contender(StepKind.Plain(settings.Meta))];
        Series[] series = Series.Alternate(contenders, rounds, BenchCommand.Progress(rounds));
        Show(settings, augmented: 1 / series[0].Median, consumed: steps.HalfBatch / series[1].Median, arguments.GetValue(BenchCommand.Json));
        return 0;
    }

    private static (ImageSet Images, Normalisation Normalisation) Images(Settings settings, string? folder)
    {
        if (folder is null)
        {
            return (AugmentationBench.RandomImages(settings.Seed), Normalisation.Cifar100);
        }

        RunData data = DataSets.Load(settings, folder);
        foreach (string warning in data.Warnings)
        {
            Console.Error.WriteLine(warning);
        }

        data.Validation.Dispose();
        data.Meta?.Dispose();
        data.Test.Dispose();
        return (data.Train, data.Normalisation);
    }

    private static void Show(Settings settings, double augmented, double consumed, bool json)
    {
        if (json)
        {
            BenchCommand.Print(new
            {
                Batch = settings.Train.Batch,
                Threads = get_num_threads(),
                Libtorch = __version__,
                AugmentedPerSecond = augmented,
                ConsumedPerSecond = consumed,
                Ratio = augmented / consumed,
            });
            return;
        }

        Console.WriteLine($"{BenchCommand.Title(settings)}; images per second, medians");
        ConsoleTable.Write(
            ["", " images/s"],
            [[
                ["augmented", BenchCommand.Text(augmented, "0", 9)],
                ["consumed by the plain step", BenchCommand.Text(consumed, "0", 9)],
                ["ratio", BenchCommand.Text(augmented / consumed, "0.0", 9)],
            ]]);
    }
}

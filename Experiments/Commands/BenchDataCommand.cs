using System.CommandLine;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Benchmarks;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>
/// <c>imta bench data [CONFIG.yaml]</c>: how fast images are augmented, and how fast the plain training step consumes them; with
/// <c>--imagenet</c>, how fast images are decoded, compared with <c>djpeg</c>.
/// </summary>
internal static class BenchDataCommand
{
    private static readonly Option<string?> Data = new("--data")
    {
        HelpName = "DIR",
        Description = "The folder of the configuration's "
        + "data set; default: random images"
    };

    private static readonly Option<bool> ImageNet = new("--imagenet")
    {
        Description = "Decode JPEG files to 224 x 224 crops, compared "
        + "with djpeg: files from ImageNet's folders (--data), or files generated with cjpeg"
    };

    public static Command Build()
    {
        var command = new Command("data", "Augmented images per second, compared with what a plain training step consumes")
        {
            ConfigurationArguments.Config, ConfigurationArguments.Set, Data, ImageNet, BenchCommand.Repeat, BenchCommand.Json,
        };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        int rounds = BenchCommand.Rounds(arguments);
        Settings settings = BenchCommand.Read(arguments);
        if (arguments.GetValue(ImageNet))
        {
            return RunPictures(settings, arguments.GetValue(Data), rounds, arguments.GetValue(BenchCommand.Json));
        }

        if (DatasetShape.For(settings.Data).Side != ImageSet.Side)
        {
            throw new UsageException($"data.dataset is {SettingsSchema.YamlName(settings.Data.Dataset.ToString())}; images of "
                + $"{ImageSet.Side} x {ImageSet.Side} pixels are required: cifar10, cifar100 or generated");
        }

        Device device = ComputeDevice.Configure(settings);
        using var steps = new StepBench(settings, device);
        (ImageSet images, Normalisation normalisation) = Images(settings, arguments.GetValue(Data));
        using var augmentation = new AugmentationBench(images, normalisation, settings, device, steps.Wait);
        BenchmarkCase[] contenders = [augmentation.Contender(), steps.Contender(StepKind.Plain(settings.Meta))];
        TimingSeries[] series = TimingSeries.MeasureInterleaved(contenders, rounds, BenchCommand.Progress(rounds));
        Show(
            settings, augmented: 1 / series[0].Median, consumed: steps.HalfBatch / series[1].Median, arguments.GetValue(BenchCommand.Json));
        return 0;
    }

    private static int RunPictures(Settings settings, string? folder, int rounds, bool json)
    {
        ImageNetFolders.EnsureDecoderAvailable();
        ComputeDevice.Configure(settings with { Device = "cpu" });
        using ImageDecodingBench bench = folder is null
            ? ImageDecodingBench.FromNoise(settings.Seed)
            : ImageDecodingBench.FromFolder(folder, settings.Seed);
        TimingSeries[] series = TimingSeries.MeasureInterleaved([bench.Decoded(), bench.Djpeg()], rounds, BenchCommand.Progress(rounds));
        (double decoded, double djpeg, double ratio) = (1 / series[0].Median, 1 / series[1].Median, series[1].RatioTo(series[0]));
        if (json)
        {
            BenchCommand.Print(new
            {
                bench.Pictures,
                Libtorch = TorchLibraries.Version,
                DecodedPerSecond = decoded,
                DjpegPerSecond = djpeg,
                Ratio = ratio,
            });
            return 0;
        }

        Console.WriteLine(FormattableString.Invariant($"{bench.Pictures} images; images per second on one core, medians"));
        ConsoleTable.Write(
            ["", "   images/s"],
            [[
                ["decoded, cropped, resized", BenchCommand.FormatNumber(decoded, "0", 11)],
                ["djpeg, decoded only", BenchCommand.FormatNumber(djpeg, "0", 11)],
                ["ratio", BenchCommand.FormatNumber(ratio, "0.00", 11)],
            ]]);
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
                Libtorch = TorchLibraries.Version,
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
                ["augmented", BenchCommand.FormatNumber(augmented, "0", 9)],
                ["consumed by the plain step", BenchCommand.FormatNumber(consumed, "0", 9)],
                ["ratio", BenchCommand.FormatNumber(augmented / consumed, "0.0", 9)],
            ]]);
    }
}

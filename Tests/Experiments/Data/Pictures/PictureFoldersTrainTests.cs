using System.Text.RegularExpressions;
using Imta.MetaWeight.Experiments.Runs;
using SkiaSharp;

namespace Imta.MetaWeight.Tests.Experiments.Data.Pictures;

/// <summary><c>data.dataset: pictures</c>: a folder of one's own pictures, from training to answers, as a user does it.</summary>
public sealed partial class PictureFoldersTrainTests : IDisposable
{
    private const int Classes = 3;
    private const int TrainImages = 40; // of a class
    private const int TestImages = 8;

    /// <summary>16 pixels a side: two scales.</summary>
    private static readonly string[] Small =
    [
        "--data", "pictures", "--set", "data.dataset=pictures", "--set", "data.side=16",
        "--set", "model.msdnet.blocks=2", "--set", "model.msdnet.channels=8", "--set", "model.msdnet.growth=4",
        "--set", "data.trainLimit=null", "--set", "data.testLimit=null", "--set", "data.validation=10000", "--set", "meta.wpn.hidden=16",
        "--set", "train.batch=16", "--set", "train.epochs=3", "--set", "train.rate=0.05", "--set", "threads=1", "--set", "name=own",
    ];

    private readonly TemporaryFolder _folder = new();

    public PictureFoldersTrainTests()
    {
        Make("train", TrainImages, seed: 1);
        Make("test", TestImages, seed: 2);
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void They_train_resume_evaluate_and_answer_like_CIFARs_images()
    {
        ImtaProcess.Result result = _folder.Run(0, ["train", "--out", "run", .. Small]);

        result.Output.Should()
            .Contain("96 training, 24 validation and 24 test images of 3 classes")
            .And.MatchRegex(@"pictures of 16×16 pixels; red, green, blue: mean 0\.\d+, 0\.\d+, 0\.\d+, "
                + @"standard deviation 0\.\d+, 0\.\d+, 0\.\d+\n");
        File.ReadAllText(_folder.In("run", "config.yaml")).Should().Contain("  classes: 3\n").And.Contain("  side: 16\n");
        _folder.Read<AnytimeRow>("run", "anytime.csv").Should()
            .OnlyContain(row => row.Samples == Classes * TestImages && row.Top1 > 0.8, "the classes are colours");
        _folder.Read<ClassRow>("run", "classes.csv").Select(row => row.Name).Distinct().Should().Equal("blue", "green", "red");
        StopAndResume();
        string[] tables = RunFiles.Tables(_folder.In("run"));
        _folder.Run(0, "eval", "run");
        RunFiles.Tables(_folder.In("run")).Should().Equal(tables);

        _folder.Run(0, "calibrate", "run", "--shares", "50,50", "--out", "policy.json");
        _folder.Run(0, "infer", "run", "--policy", "policy.json", "--out", "by set.csv");
        _folder.Run(0, "infer", "run", "--policy", "policy.json", "--images", "pictures/test", "--out", "by files.csv");
        InferenceRow[] bySet = _folder.Read<InferenceRow>("by set.csv"), byFiles = _folder.Read<InferenceRow>("by files.csv");
        byFiles.Select(Answer).Should().Equal(bySet.Select(Answer));
        byFiles.Should().HaveCount(Classes * TestImages).And.OnlyContain(row => row.File!.StartsWith(row.Name, StringComparison.Ordinal));
    }

    [Fact]
    public void A_sweep_on_them_goes_on_and_a_foreign_network_finds_their_classes()
    {
        File.WriteAllText(_folder.In("sweep.yaml"), "variants:\n  a: {}\n  b: {train: {rate: 0.1}}\n");
        string[] sweep = ["sweep", "sweep.yaml", "--out", "sweep", .. Small[..^2], "--set", "train.epochs=1"];
        _folder.Run(0, sweep);

        _folder.Run(0, [.. sweep, "--seeds", "0,1"]).Output.Should().Contain("4 runs of 2 variants, 2 done");

        _folder.Run(0, "convert", "sweep/runs/a/seed-0", "network.pth.tar");
        string config = File.ReadAllText(_folder.In("sweep", "runs", "a", "seed-0", "config.yaml"));
        File.WriteAllText(_folder.In("own.yaml"), Root().Replace(config.Replace("  classes: 3\n", ""), "  root: null\n"));
        _folder.Run(0, "eval", "network.pth.tar", "--config", "own.yaml", "--data", "pictures", "--out", "foreign");
        _folder.Read<AnytimeRow>("foreign", "anytime.csv").Should()
            .Equal(_folder.Read<AnytimeRow>("sweep", "runs", "a", "seed-0", "anytime.csv"));
    }

    [Fact]
    public void What_is_odd_about_the_pictures_is_said()
    {
        Make("val", 1, seed: 3);
        File.WriteAllText(_folder.In("pictures", "train", "red", "broken.png"), "no PNG");
        Picture(_folder.In("pictures", "test", "red", "tiny.png"), new SKColor(255, 0, 0), 8, 8, new Random(1));

        string log = _folder.Run(0, ["train", "--out", "run", .. Small, "--set", "train.epochs=1"]).Output;

        log.Should().MatchRegex("warning: .*broken.png cannot be read \\(.*\\); it is skipped\n")
            .And.Contain("test: 1 of 25 pictures are smaller than 16×16 pixels and are enlarged; lower data.side")
            .And.Contain("pictures has test and val: val is not used, because validation images are held out of train (data.validation)")
            .And.Contain("96 training, 24 validation and 25 test images");
    }

    [Theory]
    [InlineData("model.msdnet.growthFactors has 3 entries, bottleneckFactors 2; both need one", "model.msdnet.growthFactors=[1, 2, 4]")]
    [InlineData("data.side is 7; it must be an integer in [8, 512], or null", "data.side=7")]
    [InlineData("but data.dataset is cifar10, whose side is fixed; remove data.side, or use pictures", "data.dataset=cifar10")]
    [InlineData("has 3 classes, but the run is configured for 4; set data.classes to 3", "data.classes=4")]
    public void Settings_that_do_not_fit_are_one_line(string message, string setting)
        => Refused(message, ["train", "--out", "run", .. Small, "--set", setting]);

    [Fact]
    public void A_folder_that_does_not_fit_is_one_line()
    {
        string[] train = ["train", "--out", "run", .. Small];
        Refused("the number of classes is unknown: set data.classes, or set data.root to a folder that has train", ["cost", .. Small[2..]]);
        _folder.Run(0, ["cost", .. Small[2..], "--set", "data.classes=3"]);
        Refused($"there is no folder {_folder.In("nowhere", "train")}", ["train", "--out", "run", "--data", "nowhere", .. Small[2..]]);
        Directory.Move(_folder.In("pictures", "test"), _folder.In("elsewhere"));
        Refused("does not have the folders train and test or val, each with one subfolder per class", train);
        Directory.Move(_folder.In("elsewhere"), _folder.In("pictures", "val")); // the other name of test images
        Directory.Move(_folder.In("pictures", "val", "red"), _folder.In("pictures", "val", "rot"));
        Refused("train has 3 classes and val 3; red is only in train: both need the same class subfolders", train);
        Directory.Move(_folder.In("pictures", "val", "rot"), _folder.In("pictures", "val", "red"));
        foreach (string file in Directory.GetFiles(_folder.In("pictures", "train", "red")))
        {
            File.WriteAllText(file, "no PNG");
        }

        Refused("which is more than a tenth; replace them", train);
    }

    [Theory]
    [InlineData(16, "[1, 2]")]
    [InlineData(32, "[1, 2, 4]")]
    [InlineData(64, "[1, 2, 4, 4]")]
    [InlineData(128, "[1, 2, 4, 4, 4]")]
    public void An_msdnets_scales_follow_from_the_side_and_can_be_set(int side, string factors)
    {
        string[] cost = ["cost", .. Small[2..], "--set", "data.classes=3", "--set", $"data.side={side}"];
        string output = _folder.Run(0, cost).Output;

        string[] lists = ["--set", $"model.msdnet.growthFactors={factors}", "--set", $"model.msdnet.bottleneckFactors={factors}"];
        _folder.Run(0, [.. cost, .. lists]).Output.Should().Be(output);
        Refused($"an MSDNet for {side}×{side} images has", [
            .. cost, "--set", "model.msdnet.growthFactors=[1]", "--set", "model.msdnet.bottleneckFactors=[1]",
        ]);
    }

    [Fact]
    public void A_ranet_has_as_many_resolutions_as_the_side_needs()
    {
        string[] ranet =
        [
            "cost", "--set", "data.dataset=pictures", "--set", "data.classes=5", "--set", "data.side=64", "--set", "model.backbone=ranet",
        ];
        string[] four = ["--set", "model.ranet.growthFactors=[4, 2, 2, 1]", "--set", "model.ranet.bottleneckFactors=[4, 2, 2, 1]"];

        _folder.Run(0, [.. ranet, .. four, "--set", "model.ranet.scaleList=[1, 2, 3, 4]"]).Output.Should().Contain("multiply-adds");
        Refused("scaleList is [1, 2, 3]: for 64×64 images it goes from 1 to 4", [
            .. ranet, "--set", "model.ranet.growthFactors=[4, 2, 1]", "--set", "model.ranet.bottleneckFactors=[4, 2, 1]",
            "--set", "model.ranet.scaleList=[1, 2, 3]",
        ]);
    }

    private static (long Class, float Confidence, int Exit) Answer(InferenceRow row) => (row.Class, row.Confidence, row.Exit);

    private void StopAndResume()
    {
        using (ImtaProcess process = ImtaProcess.Start(_folder.Path, ["train", "--out", "stopped", .. Small]))
        {
            process.WaitUntil(() => File.Exists(_folder.In("stopped", "epochs.csv")));
            process.Kill();
            process.End();
        }

        _folder.Run(0, "train", "--resume", "stopped");
        RunFiles.Tables(_folder.In("stopped")).Should().Equal(RunFiles.Tables(_folder.In("run")));
        File.Move(_folder.In("pictures", "train", "red", "0.png"), _folder.In("0.png"));
        _folder.Run(2, "train", "--resume", "stopped").Error.Should()
            .Contain("the data set's files differ from those that stopped started with");
        File.Move(_folder.In("0.png"), _folder.In("pictures", "train", "red", "0.png"));
    }

    private void Refused(string message, string[] arguments)
    {
        _folder.Run(2, arguments).Error.TrimEnd().Split('\n').Should().ContainSingle()
            .Which.Should().StartWith("imta: ").And.Contain(message);
        Directory.Exists(_folder.In("run")).Should().BeFalse();
    }

    /// <summary>Pictures of all sizes, in whose colour there is some noise.</summary>
    private void Make(string set, int count, int seed)
    {
        var random = new Random(seed);
        foreach ((string name, SKColor colour) in new[]
        {
            ("red", new SKColor(200, 60, 60)), ("green", new SKColor(60, 200, 60)), ("blue", new SKColor(60, 60, 200)),
        })
        {
            Directory.CreateDirectory(_folder.In("pictures", set, name));
            for (int i = 0; i < count; i++)
            {
                Picture(_folder.In("pictures", set, name, $"{i}.png"), colour, random.Next(16, 50), random.Next(16, 50), random);
            }
        }
    }

    private static void Picture(string file, SKColor colour, int width, int height, Random random)
    {
        using var bitmap = new SKBitmap(width, height);
        for (int pixel = 0; pixel < width * height; pixel++)
        {
            byte Noisy(byte level) => (byte)(level + random.Next(-50, 50));
            bitmap.SetPixel(pixel % width, pixel / width, new SKColor(Noisy(colour.Red), Noisy(colour.Green), Noisy(colour.Blue)));
        }

        using SKData data = bitmap.Encode(SKEncodedImageFormat.Png, 100);
        File.WriteAllBytes(file, data.ToArray());
    }

    [GeneratedRegex("  root: .*\n")]
    private static partial Regex Root();
}

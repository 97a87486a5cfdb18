using System.Globalization;
using System.Text.Json.Nodes;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training.Distributed;
using Imta.MetaWeight.Tests.Docs;
using Imta.MetaWeight.Tests.Experiments.Training.Distributed;
using Xunit.Abstractions;

namespace Imta.MetaWeight.Tests.Experiments.Data.Pictures;

/// <summary>Training, testing and answering with pictures as a user does it.</summary>
public sealed class ImageNetTrainTests : IDisposable
{
    private const int BatchesOfAnEpoch = 6; // of 8 of 48 pictures

    private readonly TemporaryFolder _folder = new();
    private readonly ITestOutputHelper _output;

    public ImageNetTrainTests(ITestOutputHelper output)
    {
        _output = output;
        ImageNetFolder.Make(_folder.In("pictures"), copies: 7); // 56, of which one a class and eighth is held out
    }

    public void Dispose() => _folder.Dispose();

    /// <summary>24 steps, or as many as IMTA_STEPS says.</summary>
    [Fact]
    public void A_run_that_is_stopped_and_killed_inside_epochs_ends_with_the_tables_of_an_undisturbed_one_by_other_threads()
    {
        int steps = int.TryParse(
            Environment.GetEnvironmentVariable("IMTA_STEPS"), NumberStyles.None, CultureInfo.InvariantCulture, out int given)
            ? given
            : 24;
        int epochs = (steps + BatchesOfAnEpoch - 1) / BatchesOfAnEpoch;
        string[] more =
        [
            "--set", $"train.epochs={epochs}", "--set", "meta.interval=3", "--set", "export.weightsEvery=1", "--checkpoint-minutes",
            "0.0001",
        ];
        Train("whole", [.. more, "--set", "data.workers=1"]);

        BreakOff(epoch: 2, () => Start("broken", [.. more, "--set", "data.workers=3"]), process => process.Kill(), 137);
        BreakOff(
            epoch: 3, () => ImtaProcess.Start(_folder.Path, "train", "--resume", "broken"), process => process.TryInterrupt(),
            ImtaProcess.Interrupted);

        _folder.Run(0, "train", "--resume", "broken");
        IEnumerable<string> resumed = ReadLog("broken").Split('\n')
            .Where(line => line.Contains("resuming after", StringComparison.Ordinal)).Select(line => line[20..]);
        _output.WriteLine($"{epochs * BatchesOfAnEpoch} steps; {string.Join("; ", resumed)}");

        RunFiles.Tables(_folder.In("broken")).Should().Equal(RunFiles.Tables(_folder.In("whole")));
        _folder.Read<EpochRow>("whole", "epochs.csv").Should()
            .HaveCount(3 * epochs).And.OnlyContain(row => double.IsFinite(row.TrainLoss) && row.ValidationAccuracy >= 0);
        ReadLog("broken").Should()
            .MatchRegex(@"resuming after epoch 1 of \d+, batch [1-6]\n(.*\n)*.*resuming after epoch 2 of \d+, batch [1-6]\n");
    }

    [Fact]
    public void Odd_pictures_are_counted_in_the_log_and_broken_ones_told_once()
    {
        File.WriteAllText(_folder.In("pictures", "train", "n0", "broken.JPEG"), "no JPEG");
        byte[] whole = GoldenPictures.Bytes("landscape.jpg");
        File.WriteAllBytes(_folder.In("pictures", "train", "n1", "half.JPEG"), whole[..(whole.Length * 9 / 10)]); // below most crops

        string output = Train(
            "run", "--set", "train.epochs=2", "--set", "data.validation=0", "--set", "meta.enabled=false", "--set", "train.batch=29");

        output.Should()
            .Contain("broken.JPEG cannot be read (not a JPEG, PNG, WebP or BMP file); using a black image instead").And.Contain(
                "half.JPEG is damaged");
        string[] log = ReadLog("run").Split('\n');
        log.Where(line => line.Contains("broken.JPEG", StringComparison.Ordinal)).Should().ContainSingle();
        log.Where(line => line.Contains("half.JPEG", StringComparison.Ordinal)).Should().ContainSingle();
        string[] counts = [.. log.Where(line => line.Contains("images read", StringComparison.Ordinal)).Select(line => line[20..])];
        counts.Should().Equal(
            "epoch 1: 58 images read, 7 grey, 14 CMYK, 7 with an Exif rotation, which is not applied, 1 damaged, 1 unreadable",
            "epoch 2: 58 images read, 7 grey, 14 CMYK, 7 with an Exif rotation, which is not applied, 1 damaged, 1 unreadable",
            "validation and test: 16 images read, 2 grey, 4 CMYK, 2 with an Exif rotation, which is not applied, 0 unreadable");
    }

    [Fact]
    public void A_trained_network_is_tested_calibrated_and_answers_a_folder_of_pictures()
    {
        Train("run", "--set", "train.epochs=1");

        _folder.Run(0, "eval", "run", "--out", "again", "--latency", "--batch", "4", "--repeat", "2");
        File.ReadAllText(_folder.In("again", "predictions.csv")).Should().Be(File.ReadAllText(_folder.In("run", "predictions.csv")));
        _folder.Read<LatencyRow>("again", "latency.csv").Should().OnlyContain(row => row.MedianMs > 0).And.NotBeEmpty();

        _folder.Run(0, "calibrate", "run", "--shares", "1,1,1");
        JsonNode.Parse(File.ReadAllText(_folder.In("run", "policy.json")))!["class_names"]!.AsArray().Select(name => (string?)name).Should()
            .Equal("n0", "n1", "n2", "n3");
        File.WriteAllText(_folder.In("pictures", "val", "n2", "broken.png"), "no PNG");
        File.CreateSymbolicLink(_folder.In("pictures", "val", "n3", "nowhere.jpg"), "/nowhere.jpg");
        ImtaProcess.Result result = _folder.Run(
            0, "infer", "run", "--policy", "run/policy.json", "--images", "pictures/val", "--batch", "5");

        result.Error.Should().MatchRegex(
            @"^warning: pictures/val/n2/broken[.]png cannot be read \(not a JPEG, PNG, WebP or BMP file\); it gets no prediction\n"
                + @"warning: pictures/val/n3/nowhere[.]jpg cannot be read \(.*\); it gets no prediction\n$");
        result.Output.Should().Contain("18 images read, 2 grey, 4 CMYK, 2 with an Exif rotation, which is not applied, 2 "
            + "unreadable\n").And.Contain("16 images: ").And.NotContain("labelled");
        InferenceRow[] answers = _folder.Read<InferenceRow>("answers.csv");
        answers.Select(row => row.File).Should().HaveCount(16).And.BeInAscendingOrder(StringComparer.Ordinal).And.OnlyHaveUniqueItems();

        File.Delete(_folder.In("pictures", "val", "n2", "broken.png"));
        File.Delete(_folder.In("pictures", "val", "n3", "nowhere.jpg"));
        Directory.CreateDirectory(_folder.In("linked"));
        foreach (string name in (string[])["n0", "n1", "n2", "n3"])
        {
            Directory.CreateSymbolicLink(_folder.In("linked", name), _folder.In("pictures", "val", name));
        }

        Directory.CreateSymbolicLink(_folder.In("linked", "back"), _folder.Path);
        _folder.Run(0, "infer", "run", "--policy", "run/policy.json", "--images", "linked", "--out", "linked.csv");
        _folder.Read<InferenceRow>("linked.csv").Select(row => (row.File, row.Class, row.Exit)).Should()
            .Equal(answers.Select(row => (row.File, row.Class, row.Exit)));
        _folder.Run(0, "infer", "run", "--policy", "run/policy.json", "--out", "own.csv").Output.Should().Contain("% accuracy");
        _folder.Read<InferenceRow>("own.csv").Select(row => (row.File, row.Class, row.Exit)).Should()
            .Equal(answers.Select(row => (row.File, row.Class, row.Exit)));
    }

    [Fact]
    public void Held_out_meta_pictures_and_two_processes_go_on_from_inside_an_epoch()
    {
        Launcher.NeedAny();
        string[] more =
        [
            "--set", "train.epochs=8", "--set", "meta.source=heldOut", "--set", "meta.perClass=2", "--set", "meta.interval=2",
            "--checkpoint-minutes", "0.0001", "--processes", "2",
        ];
        Train("whole", more);
        BreakOff(epoch: 2, () => Start("broken", more), process => process.TryInterrupt(), ImtaProcess.Interrupted);

        _folder.Run(0, "train", "--resume", "broken");

        ReadLog("broken").Should().MatchRegex("resuming after epoch [1-7] of 8, batch [1-5]\n");
        RunFiles.Tables(_folder.In("broken")).Should().Equal(RunFiles.Tables(_folder.In("whole")));
        // 40 to train on, 8 of validation, 8 meta pictures for each of 3 of 5 batches; both processes summed
        ReadLog("whole").Should().Contain("epoch 2: 72 images read");
    }

    /// <summary>The recipes, their networks and batches made small.</summary>
    [Theory]
    [InlineData("imagenet-msdnet-7", "model.msdnet")]
    [InlineData("imagenet-l2w-4", "model.msdnet", "--processes", "2")]
    [InlineData("imagenet-imta-4", "model.msdnet", "--set", "phase2.epochs=1", "--set", "phase2.batch=24", "--set", "phase2.milestones=[]")]
    [InlineData("imagenet-ranet-16", "model.ranet")]
    public void A_recipe_trains(string name, string network, params string[] more)
    {
        if (more.Contains("--processes"))
        {
            Launcher.NeedAny();
        }

        string config = Path.Combine(MarkdownPage.Repository(), "configs", "imagenet", $"{name}.yaml");

        string[] small =
        [
            "--set", "data.classes=4", "--set", $"{network}.blocks=2", "--set", $"{network}.channels=4", "--set", $"{network}.growth=4",
            "--set", "train.epochs=1", "--set", "train.batch=24", "--set", "train.milestones=[]", "--threads", "1",
        ];
        _folder.Run(0, ["train", config, "--data", "pictures", "--out", "run", .. small, .. more]).Error.Should().BeEmpty();

        _folder.Read<AnytimeRow>("run", "anytime.csv").Should()
            .OnlyContain(row => row.Samples == 16 && double.IsFinite(row.Loss)).And.HaveCountGreaterThanOrEqualTo(2);
        File.Exists(_folder.In("run", "weights", "epoch-0001.csv")).Should().BeTrue();
    }

    [Fact]
    public void What_any_process_cannot_read_is_in_the_log_once()
    {
        Launcher.NeedAny();
        string[] broken = [.. Enumerable.Range(0, 6).Select(k => $"pictures/train/n{k % 4}/broken{k}.jpg")];
        Array.ForEach(broken, file => File.WriteAllText(_folder.In(file), "no JPEG"));

        Train("run", "--set", "train.epochs=3", "--set", "train.batch=16", "--processes", "2");

        string log = ReadLog("run");
        broken.Should()
            .OnlyContain(file => System.Text.RegularExpressions.Regex.Count(log, $"{Path.GetFileName(file)} cannot be read") == 1);
        log.Should().Contain(", 6 unreadable\n");
    }

    /// <summary>Splits and order go by the files' places: with others a run would train on what it validates by.</summary>
    [Fact]
    public void A_run_goes_on_with_its_own_files_only()
    {
        Train("run", "--set", "train.epochs=1");
        string file = _folder.In("pictures", "train", "n0", "grey_0.JPEG"), other = _folder.In("pictures", "train", "n0", "zz.JPEG");
        File.Move(file, other);

        string refusal = _folder.Run(2, "train", "--resume", "run").Error;
        string warning = _folder.Run(0, "eval", "run", "--out", "again").Error;
        string second = _folder.Run(
            2, Arguments("second", ["--set", "train.epochs=1", "--set", "phase2.from=run", "--set", "phase2.epochs=1"])).Error;
        File.Move(other, file);

        refusal.Should().Be("imta: the data set's files differ from those that run started with (added, removed, renamed "
            + "or changed), so training and validation images would be mixed up; restore the files, or give a folder that has them "
            + "with --data\n");
        warning.Should()
            .MatchRegex(
                "^warning: the data set's files differ from those that .*run started with; images held out here may have been used for "
                    + "training\n$");
        second.Should().MatchRegex("^imta: phase2[.]from: .*latest[.]pt was trained with different files in the data set's folder .*\n$");
        _folder.Run(0, "train", "--resume", "run").Error.Should().BeEmpty();
        File.Delete(_folder.In("run", "environment.json"));
        _folder.Run(0, "train", "--resume", "run").Error.Should()
            .StartWith("warning: run/environment.json does not record which files the run started with");
        _folder.Run(2, "train", "--resume", "run", "--data", "").Error.Should()
            .Be("imta: --data is empty. See imta train --help.\n");
    }

    [Fact]
    public void Processes_with_other_files_do_not_begin()
    {
        Launcher launcher = Launcher.NeedAny();
        ImageNetFolder.Make(_folder.In("others"), copies: 7);
        File.Delete(_folder.In("others", "train", "n3", "small_1.JPEG"));
        string[] Ranks(string images)
            => ImtaProcess.Imta(
                [
                    "train", "--out", "run", .. ImageNetFolder.Settings, "--set", "train.batch=16", "--process-timeout", "60", "--data",
                    images
                ]);
        using ImtaProcess process = ImtaProcess.StartCommand(
            _folder.Path, [.. launcher.One, .. Ranks("pictures"), .. launcher.Next, .. Ranks("others")]);

        ImtaProcess.Result result = process.End();

        result.Code.Should().Be(2, result.All);
        result.All.Should()
            .MatchRegex(
                "imta: rank 1 of 2 on .*: the data set's folder has different files here than on rank 0; all ranks need the same files");
        Directory.Exists(_folder.In("run")).Should().BeFalse();
    }

    [Fact]
    public void A_folder_that_goes_ends_the_run_with_its_way_back()
    {
        using ImtaProcess process = Start("run", "--set", "train.epochs=1000", "--set", "data.workers=8");
        process.WaitUntil(() => File.Exists(_folder.In("run", "epochs.csv")));
        Directory.Move(_folder.In("pictures"), _folder.In("elsewhere"));

        ImtaProcess.Result result = process.End();

        result.Code.Should().Be(1, result.All);
        result.Error.TrimEnd('\n').Should()
            .NotContain("\n").And.MatchRegex(
                "^imta: Could not find .*JPEG.*latest[.]pt is intact: once the problem is fixed, resume with imta train --resume run$");
        Directory.Move(_folder.In("elsewhere"), _folder.In("pictures"));
        _folder.Run(0, "eval", "run");
    }

    [Theory]
    [InlineData("no folder is set for ImageNet", "train")]
    [InlineData("nowhere does not have the folders train and val", "train", "--data", "nowhere")]
    [
        InlineData(
            "has 4 classes, but the run is configured for 1000; set data.classes to 4", "train", "--data", "pictures", "--set",
            "data.classes=null")
    ]
    [InlineData("--data is empty", "train", "--data", "")]
    [InlineData("data.classes is 4, but data.dataset is cifar10", "train", "--set", "data.dataset=cifar10")]
    public void Wrong_input_is_one_line(string message, string command, params string[] arguments)
    {
        string error = _folder.Run(2, [command, .. ImageNetFolder.Settings, .. arguments]).Error;

        error.Should().Contain(message);
        error.TrimEnd('\n').Should().NotContain("\n");
        Directory.Exists(_folder.In("runs")).Should().BeFalse();
    }

    /// <summary>Breaks the run off inside an epoch, from 1.</summary>
    private void BreakOff(int epoch, Func<ImtaProcess> start, Action<ImtaProcess> signal, int code) => RunFiles.BreakOff(
        _folder,
        "broken",
        start,
        process =>
        {
            WaitInside(process, epoch);
            signal(process);
        },
        result =>
        {
            result.Code.Should().BeOneOf([0, code], result.All);
            return result.Code == code && RunFiles.Latest(_folder.In("broken")) is { IsInside: true } latest && latest.Epochs == epoch - 1;
        });

    /// <summary>Waits for a checkpoint after a batch of the epoch, from 1.</summary>
    private void WaitInside(ImtaProcess process, int epoch)
    {
        process.WaitUntil(
            ()
                => File.Exists(_folder.In("broken", "log.txt"))
                    && ReadLog("broken").Contains($" epoch {epoch - 1}/", StringComparison.Ordinal));
        DateTime since = Written();
        process.WaitUntil(() => Written() > since || process.HasEnded);

        DateTime Written() => File.GetLastWriteTimeUtc(_folder.In("broken", "checkpoints", "latest.pt"));
    }

    private string Train(string run, params string[] more) => _folder.Run(0, Arguments(run, more)).Output;

    private ImtaProcess Start(string run, params string[] more) => ImtaProcess.Start(_folder.Path, Arguments(run, more));

    private static string[] Arguments(string run, string[] more)
        => ["train", "--out", run, "--data", "pictures", .. ImageNetFolder.Settings, .. more];

    private string ReadLog(string run) => File.ReadAllText(_folder.In(run, "log.txt"));
}

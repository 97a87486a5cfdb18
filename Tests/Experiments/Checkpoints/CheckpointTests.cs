using System.Diagnostics;
using System.Globalization;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Runs;
using Xunit.Abstractions;

namespace Imta.MetaWeight.Tests.Experiments.Checkpoints;

/// <summary>What keeps a run safe: whatever happens to it, it goes on to the same numbers.</summary>
public sealed class CheckpointTests(ITestOutputHelper output) : IDisposable
{
    // Longer than the moment at which a signal comes, with a checkpoint after every batch, and weights of every epoch.
    private static readonly string[] Long =
    [
        "--set", "train.epochs=3", "--set", "data.trainLimit=500", "--set", "train.batch=32", "--set", "export.weightsEvery=1",
        "--checkpoint-minutes", "0.0001",
    ];

    private const int LeastKills = 2;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>
    /// Five kills, or as many as IMTA_KILLS says, each in another moment of the run: set-up, batches, validation, tables, checkpoints.
    /// </summary>
    [Fact]
    public void A_run_that_is_killed_again_and_again_ends_with_the_tables_of_an_undisturbed_one()
    {
        int kills = int.TryParse(
            Environment.GetEnvironmentVariable("IMTA_KILLS"), NumberStyles.None, CultureInfo.InvariantCulture, out int given)
            ? given
            : 5;
        string[] longer = [.. Long, "--set", $"train.epochs={3 + (kills / 2)}"];
        var clock = Stopwatch.StartNew();
        // In a new process, as those that are killed are: it takes as long as they do.
        ImtaProcess.Run(_folder.Path, [], ["train", "--out", "whole", .. ImtaProcess.Tiny, .. longer]).Code.Should().Be(0);
        TimeSpan duration = clock.Elapsed;
        var random = new Random(6);
        int tried = 0, killed = 0;
        for (bool ended = false; !ended;)
        {
            bool begun = File.Exists(_folder.In("broken", "checkpoints", "latest.pt"))
                || File.Exists(_folder.In("broken", "checkpoints", "previous.pt"));
            using ImtaProcess process = ImtaProcess.Start(
                _folder.Path,
                begun ? ["train", "--resume", "broken"] : ["train", "--out", "broken", "--force", .. ImtaProcess.Tiny, .. longer]);
            ended = tried++ >= kills;
            if (!ended)
            {
                Thread.Sleep(duration * (0.1 + (0.6 * random.NextDouble())));
                process.Kill();
            }

            ImtaProcess.Result result = process.End();
            (result.Code is 0 or 137).Should().BeTrue(result.All);
            killed += result.Code == 137 ? 1 : 0;
            if (result.Code == 0 && !ended && killed < LeastKills)
            {
                // The undisturbed one shared the cores with more: from the start again, and sooner.
                duration /= 2;
                (tried, killed) = (0, 0);
                Directory.Delete(_folder.In("broken"), recursive: true);
                continue;
            }

            ended |= result.Code == 0;
        }

        output.WriteLine($"killed {killed} times");
        killed.Should().BeGreaterThanOrEqualTo(LeastKills);
        Tables("broken").Should().Equal(Tables("whole"));
        FilesOf("broken").Should().BeEquivalentTo(FilesOf("whole"));
    }

    [Fact]
    public void An_interrupted_run_goes_on_after_its_present_batch()
    {
        Train("whole", Long);
        ImtaProcess.Result stopped = RunFiles.StopAfterAnEpoch(
            _folder, "broken", [.. ImtaProcess.Tiny, .. Long[..^2], "--checkpoint-minutes", "0"]);
        stopped.Output.Should().Contain("imta train --resume broken");

        ImtaProcess.Result tested = ImtaProcess.Run(_folder.Path, "eval", "broken", "--out", "tested");
        ImtaProcess.Result resumed = Resume();
        resumed.Output.Should().MatchRegex("resuming after epoch [12] of 3, batch [0-9]+");
        tested.Error.Should().MatchRegex("latest[.]pt was saved within epoch [23]\n");
        resumed.Error.Should().BeEmpty();
        Tables("broken").Should().Equal(Tables("whole"));
    }

    [Theory]
    [InlineData("torn")]
    [InlineData("changed")]
    [InlineData("empty")]
    [InlineData("missing")]
    public void A_damaged_checkpoint_is_replaced_by_the_one_before_and_the_run_says_so(string how)
    {
        Train("broken");
        string[] whole = Tables("broken");
        Damage(_folder.In("broken", "checkpoints", "latest.pt"), how);

        ImtaProcess.Result resumed = Resume();

        resumed.Error.Should()
            .MatchRegex(
                "^warning: .*latest[.]pt is not a readable checkpoint .*; resuming from .*previous[.]pt, the previous checkpoint\n$");
        resumed.Output.Should().Contain("resuming after epoch 1 of 2");
        Tables("broken").Should().Equal(whole);
        Resume().Error.Should().BeEmpty("the good one took its place");
    }

    [Fact]
    public void Where_both_are_damaged_one_line_says_so_and_nothing_changes()
    {
        Train("broken");
        string[] before = FilesOf("broken");
        Damage(_folder.In("broken", "checkpoints", "latest.pt"), "torn");
        Damage(_folder.In("broken", "checkpoints", "previous.pt"), "changed");

        ImtaProcess.Result refused = ImtaProcess.Run(_folder.Path, "train", "--resume", "broken");

        refused.Code.Should().Be(2, refused.All);
        refused.Error.TrimEnd().Split('\n').Should().ContainSingle().Which.Should()
            .StartWith("imta: ").And.Contain("previous.pt").And.Contain("is damaged");
        FilesOf("broken").Should().BeEquivalentTo(before);
    }

    [Theory]
    [InlineData("batch", "fits no run")]
    [InlineData("tally", "is none")]
    public void An_unfinished_epoch_that_does_not_fit_is_refused_in_one_line(string key, string nonsense)
    {
        Train("broken");
        Change("broken", content =>
        {
            content["epoch"] = 1L;
            content["progress"] = new TorchDictionary
            {
                ["batch"] = 1,
                ["skipped"] = 0,
                ["seconds"] = 1.0,
                ["tally"] = TorchNone.Value,
                ["weights"] = TorchNone.Value,
                [key] = nonsense,
            };
        });

        Refusal().Should().Contain("unfinished epoch does not fit");
    }

    [Theory]
    [InlineData("epoch")]
    [InlineData("progress")]
    public void A_checkpoint_without_its_epoch_or_with_another_progress_is_refused_in_one_line(string key)
    {
        Train("broken");
        File.Delete(_folder.In("broken", "checkpoints", "previous.pt"));
        Change("broken", content => content[key] = key == "epoch" ? TorchNone.Value : "much");

        Refusal().Should().Contain("is not a readable checkpoint");
    }

    [Theory]
    [InlineData("lastAccuracy")]
    [InlineData("meanLoss")]
    public void The_best_epochs_checkpoint_and_every_nth_are_kept(string by)
    {
        Train("run", "--set", "train.epochs=5", "--best-by", by, "--set", "run.checkpointEvery=2");

        EpochRow[] rows = Read<EpochRow>("epochs.csv");
        double Merit(IEnumerable<EpochRow> epoch)
            => by == "lastAccuracy" ? epoch.Last().ValidationAccuracy!.Value : -epoch.Average(row => row.ValidationLoss!.Value);
        int best = rows.GroupBy(row => row.Epoch).MaxBy(Merit)!.Key;
        EpochOf("best.pt").Should().Be(best);
        (EpochOf("latest.pt"), EpochOf("previous.pt"), EpochOf("epoch-0002.pt"), EpochOf("epoch-0004.pt")).Should().Be((5, 4, 2, 4));
        Directory.GetFiles(_folder.In("run", "checkpoints")).Should().HaveCount(5);
        ImtaProcess.Run(_folder.Path, "eval", "run/checkpoints/best.pt").Code.Should().Be(0);
    }

    [Fact]
    public void A_run_whose_last_checkpoint_is_gone_goes_on_from_a_kept_one_as_it_says()
    {
        Train("broken", "--set", "train.epochs=3", "--set", "run.checkpointEvery=2");
        string[] tables = Tables("broken");
        foreach (string file in (string[])["latest.pt", "previous.pt"])
        {
            File.Delete(_folder.In("broken", "checkpoints", file));
        }

        _folder.Run(2, "eval", "broken").Error.Should()
            .Be("imta: broken has no checkpoints/latest.pt; use broken/checkpoints/epoch-0002.pt instead\n");
        Refusal().Should().Be("imta: broken has no checkpoints/latest.pt to resume from; to continue from "
            + "broken/checkpoints/epoch-0002.pt, copy it to broken/checkpoints/latest.pt");
        File.Copy(_folder.In("broken", "checkpoints", "epoch-0002.pt"), _folder.In("broken", "checkpoints", "latest.pt"));
        Resume();

        Tables("broken").Should().Equal(tables);
    }

    [Fact]
    public void A_full_disk_loses_nothing_that_was_there()
    {
        using var disk = new SmallDisk(_folder.In("disk"), megabytes: 24);
        string[] run = ["train", "--out", "disk/run", .. ImtaProcess.Tiny, "--set", "train.epochs=3", "--allow", "disk"];
        ImtaProcess.Run(_folder.Path, ["train", "--out", "whole", .. run[3..]]).Code.Should().Be(0);
        ImtaProcess.Result whole = ImtaProcess.Run(_folder.Path, [.. run, "--set", "train.epochs=1"]);
        whole.Code.Should().Be(0, whole.All);
        Directory.Delete(_folder.In("disk", "run"), recursive: true);
        disk.Fill(leave: Needed(_folder.In("whole", "checkpoints", "latest.pt")));

        ImtaProcess.Result stopped = ImtaProcess.Run(_folder.Path, run);

        stopped.Code.Should().Be(1, stopped.All);
        stopped.Error.TrimEnd().Split('\n').Last().Should().StartWith("imta: ").And.Contain("train --resume disk/run");
        ImtaProcess.Run(_folder.Path, "eval", "disk/run", "--out", "tested").Code.Should().Be(0, "the checkpoint that was there is whole");
        RunFiles.Names(_folder.In("disk", "run")).Should().NotContain(name => name.EndsWith(AtomicFile.Suffix, StringComparison.Ordinal));
        disk.Free();
        ImtaProcess.Result resumed = ImtaProcess.Run(_folder.Path, "train", "--resume", "disk/run", "--allow", "disk");
        resumed.Code.Should().Be(0, resumed.All);
        Tables(Path.Combine("disk", "run")).Should().Equal(Tables("whole"));

        // Room for two checkpoints and a bit: the third does not fit.
        static long Needed(string checkpoint) => (new FileInfo(checkpoint).Length * 5 / 2) + 16_384;
    }

    [Fact]
    public void Numbers_that_are_not_finite_stop_a_run_with_where_and_what_to_try()
    {
        ImtaProcess.Result stopped = ImtaProcess.Run(
            _folder.Path, ["train", "--out", "run", .. ImtaProcess.Tiny, "--set", "train.rate=1e25"]);

        stopped.Code.Should().Be(1, stopped.All);
        stopped.Error.Should().MatchRegex("^imta: epoch 1, batch [1-5], (exit [12]: .*|meta objective) is NaN or infinite; the last good "
            + "checkpoint is run/checkpoints/latest[.]pt; restart with a smaller train[.]rate, meta[.]epsilon or "
            + "meta[.]optimiser[.]rate, or skip such batches with run[.]skipNonFinite\n$");
        EpochOf("latest.pt").Should().Be(0);
        ImtaProcess.Run(_folder.Path, "eval", "run").Code.Should().Be(0, "it holds finite numbers");
    }

    [Fact]
    public void Batches_that_are_not_finite_are_skipped_and_counted_and_a_run_without_others_stops()
    {
        ImtaProcess.Result stopped = ImtaProcess.Run(
            _folder.Path, ["train", "--out", "run", .. ImtaProcess.Tiny, "--set", "train.rate=1e38", "--skip-nonfinite"]);

        stopped.Code.Should().Be(1, stopped.All);
        stopped.Output.Split('\n').Count(line => line.EndsWith("skipping the batch", StringComparison.Ordinal)).Should().Be(5);
        stopped.Error.Should().Contain("epoch 1: every batch had NaN or infinite values and was skipped");

        Train("plain");
        Train("skips", "--skip-nonfinite");
        Tables("skips").Should().Equal(Tables("plain"), "nothing was skipped");
    }

    private static void Damage(string file, string how)
    {
        byte[] content = File.ReadAllBytes(file);
        switch (how)
        {
            case "torn":
                File.WriteAllBytes(file, content[..(content.Length / 2)]);
                break;
            case "changed":
                content[content.Length / 2] ^= 1;
                File.WriteAllBytes(file, content);
                break;
            case "empty":
                File.WriteAllBytes(file, []);
                break;
            default:
                File.Delete(file);
                break;
        }
    }

    private void Change(string run, Action<TorchDictionary> change)
    {
        using DisposeScope scope = NewDisposeScope();
        string latest = _folder.In(run, "checkpoints", "latest.pt");
        TorchDictionary content = TorchFileReader.Read(latest);
        change(content);
        TorchFileWriter.Write(latest, content);
    }

    private string Refusal()
    {
        ImtaProcess.Result refused = ImtaProcess.Run(_folder.Path, "train", "--resume", "broken");
        refused.Code.Should().Be(2, refused.All);
        return refused.Error.TrimEnd().Split('\n').Should().ContainSingle().Which;
    }

    private void Train(string run, params string[] arguments)
    {
        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, ["train", "--out", run, .. ImtaProcess.Tiny, .. arguments]);
        result.Code.Should().Be(0, result.All);
    }

    private ImtaProcess.Result Resume()
    {
        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, "train", "--resume", "broken");
        result.Code.Should().Be(0, result.All);
        return result;
    }

    private long EpochOf(string checkpoint)
    {
        using DisposeScope scope = NewDisposeScope();
        return TorchFileReader.Read(_folder.In("run", "checkpoints", checkpoint)).Integer("epoch");
    }

    private T[] Read<T>(string file) => _folder.Read<T>("run", file);

    private string[] FilesOf(string run) => RunFiles.Names(_folder.In(run));

    private string[] Tables(string run) => RunFiles.Tables(_folder.In(run));

    /// <summary>A drive in memory; the test is skipped where none can be mounted.</summary>
    private sealed class SmallDisk : IDisposable
    {
        private readonly string _path;

        public SmallDisk(string path, int megabytes)
        {
            _path = path;
            Directory.CreateDirectory(path);
            Skip.IfNot(
                OperatingSystem.IsLinux() && File.Exists("/bin/mount")
                    && Start("/bin/mount", "-t", "tmpfs", "-o", $"size={megabytes}m", "tmpfs", path) == 0,
                "no small drive can be mounted here (that takes root)");
        }

        private string Filler => Path.Combine(_path, "filler");

        public void Fill(long leave) => File.WriteAllBytes(Filler, new byte[new DriveInfo(_path).AvailableFreeSpace - leave]);

        public void Free() => File.Delete(Filler);

        public void Dispose() => Start("/bin/umount", _path);

        private static int Start(string program, params string[] arguments)
        {
            using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
            process.WaitForExit();
            return process.ExitCode;
        }
    }
}

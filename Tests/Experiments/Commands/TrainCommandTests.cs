using System.Diagnostics;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary>Whole trainings on generated data, as a user runs them.</summary>
public sealed class TrainCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_run_leaves_every_file_it_promises()
    {
        ImtaProcess.Result result = Train("run");

        result.Code.Should().Be(0, result.All);
        result.Error.Should().BeEmpty();
        result.Output.Should()
            .Contain("learned sample weights vs. known difficulty").And.Contain("test accuracy of exits 1 to 2").And.EndWith(
                "results written to run\n");
        FilesOf("run").Should().BeEquivalentTo(
            "config.yaml", "environment.json", "epochs.csv", "timing.csv", "cost.csv", "log.txt", "weights/epoch-0002.csv",
            "checkpoints/latest.pt", "checkpoints/previous.pt", "checkpoints/best.pt",
            "anytime.csv", "dynamic.csv", "exits.csv", "classes.csv", "correlation.csv", "predictions.csv");
        Header("run", "epochs.csv").Should().Be(
            "epoch,phase,exit,rate,meta_rate,train_loss,train_weighted_loss,train_accuracy,validation_loss,validation_accuracy,meta_loss,"
            + "weight_mean,weight_std,skipped_batches");
        Header("run", "timing.csv").Should().Be("epoch,train_seconds,train_images_per_second,validation_seconds,peak_memory_mib");
        Header("run", "anytime.csv").Should().Be("exit,top1,top5,loss,samples,macs,parameters");
        Header("run", "cost.csv").Should().Be("exit,macs,macs_share,parameters");
        Header("run", "weights/epoch-0002.csv").Should().Be("sample,label,difficulty,exit,loss,confidence,weight");
    }

    [Fact]
    public void The_tables_say_what_happened()
    {
        string output = Train("run").Output;

        EpochRow[] epochs = Read<EpochRow>("run", "epochs.csv");
        output.Split('\n').Where(line => line.Contains("train loss", StringComparison.Ordinal)).Should().Equal(
            epochs.GroupBy(row => row.Epoch), (line, rows) => line.StartsWith(
                FormattableString.Invariant(
                    $"epoch {rows.Key}/2: train loss {rows.First().TrainLoss:0.000} {rows.Last().TrainLoss:0.000}, "),
                StringComparison.Ordinal));
        epochs.Select(row => (row.Epoch, row.Exit)).Should().Equal((1, 1), (1, 2), (2, 1), (2, 2));
        epochs.Should().OnlyContain(row => row.MetaLoss > 0 && row.WeightStd > 0 && row.TrainLoss != row.TrainWeightedLoss);
        epochs.GroupBy(row => row.Epoch).Should()
            .OnlyContain(rows => Math.Abs(rows.Average(row => row.WeightMean) - 1) < 1e-6, "weights have mean 1 over the exits");
        epochs.Select(row => row.Rate).Should().Equal([0.1, 0.1, 0.05, 0.05], (rate, expected) => Math.Abs(rate - expected) < 1e-12);

        WeightRow[] weights = Read<WeightRow>("run", "weights/epoch-0002.csv");
        weights.Select(row => row.Sample).Distinct().Should().HaveCount(weights.Length / 2).And.BeInAscendingOrder();
        weights.GroupBy(row => row.Sample).Should().OnlyContain(rows => Math.Abs(rows.Average(row => (double)row.Weight) - 1) < 1e-6);
        weights.Should().OnlyContain(row => row.Difficulty >= 0 && row.Difficulty <= 1);
        epochs.Where(row => row.Epoch == 2).Select(row => row.TrainLoss).Should().Equal(
            weights.GroupBy(row => row.Exit).Select(rows => rows.Average(row => (double)row.Loss)), (mean, recorded)
                => Math.Abs(mean - recorded) < 1e-5);

        Read<AnytimeRow>("run", "anytime.csv").Should()
            .HaveCount(2).And.OnlyContain(row => row.Samples == 40 && row.Top1 <= row.Top5 && row.Top5 <= 1 && row.Loss > 0);
    }

    [Fact]
    public void Plain_training_is_the_same_loop_without_weights()
    {
        ImtaProcess.Result result = Train("plain", "--set", "meta.enabled=false");

        result.Code.Should().Be(0, result.All);
        result.Output.Should().Contain("plain training").And.NotContain("known difficulty");
        Read<EpochRow>("plain", "epochs.csv").Should().OnlyContain(row =>
            row.MetaLoss == null && row.MetaRate == null && row.WeightMean == 1 && row.WeightStd == 0
                && row.TrainLoss == row.TrainWeightedLoss);
    }

    [Fact]
    public void Fixed_weights_are_not_called_learned_and_milestones_after_the_end_are_told()
    {
        string output = Train(
            "fixed", Set("meta.weights=allocated", "train.schedule=multiStep", "train.milestones=[1, 2, 5]")).Output;

        output.Should().Contain("allocated training samples vs. known difficulty").And.NotContain("learned").And.Contain(
            "warning: train.milestones 2, 5: training ends after epoch 2, so they never lower the learning rate");
        Train("cosine", Set("train.milestones=[1, 2, 5]")).Output.Should().NotContain("milestones");
    }

    [Fact]
    public void In_bf16_a_run_is_another_one_that_resumes_to_its_own_numbers_and_leaves_float32()
    {
        string[] half = Set("model.precision=bf16", "run.checkpointMinutes=0");
        Train("half", half).Code.Should().Be(0);
        Train("full").Code.Should().Be(0);
        double[] Losses(string run) => [.. Read<EpochRow>(run, "epochs.csv").Where(row => row.Epoch == 1).Select(row => row.TrainLoss)];

        Losses("half").Should().NotEqual(Losses("full")).And.Equal(Losses("full"), (a, b) => Math.Abs(a - b) < 0.05 * b);
        File.Delete(_folder.In("half", "checkpoints", "latest.pt"));
        string table = File.ReadAllText(_folder.In("half", "epochs.csv"));
        ImtaProcess.Run(_folder.Path, "train", "--resume", "half").Code.Should().Be(0); // from the checkpoint before
        File.ReadAllText(_folder.In("half", "epochs.csv")).Should().Be(table);
        Dictionary<string, Tensor> state = TorchFileReader.Read(_folder.In("half", "checkpoints", "latest.pt")).Dictionary("state_dict")
            .Tensors();
        state.Values.Should().OnlyContain(tensor => tensor.dtype == float32 || tensor.dtype == int64);
        foreach (Tensor tensor in state.Values)
        {
            tensor.Dispose();
        }
    }

    [Theory]
    [InlineData("loss.labelSmoothing=0.2")]
    [InlineData("loss.classWeights.type=inverseFrequency", "data.validation=1", "data.trainLimit=77")] // classes of 6 or 7 images
    public void Smoothing_and_class_weights_change_what_is_descended_and_leave_the_reported_loss_plain(params string[] settings)
    {
        // one batch: both runs report θ at the start
        string[] plain = ["meta.enabled=false", "train.epochs=1", "train.batch=100", .. settings.Skip(1)];
        Train("plain", Set(plain)).Code.Should().Be(0);
        Train("other", Set([.. plain, settings[0]])).Code.Should().Be(0);

        Read<EpochRow>("other", "epochs.csv").Select(row => row.TrainLoss).Should()
            .Equal(Read<EpochRow>("plain", "epochs.csv").Select(row => row.TrainLoss));
        Read<EpochRow>("other", "epochs.csv").Should().OnlyContain(row => row.TrainLoss != row.TrainWeightedLoss && row.WeightMean == 1);
        Read<EpochRow>("other", "epochs.csv").Select(row => row.ValidationLoss).Should()
            .NotEqual(Read<EpochRow>("plain", "epochs.csv").Select(row => row.ValidationLoss));
    }

    [Fact]
    public void One_seed_gives_one_result_and_another_seed_another()
    {
        Train("first", "--seed", "7").Code.Should().Be(0);
        Train("second", "--seed", "7").Code.Should().Be(0);
        Train("other", "--seed", "8").Code.Should().Be(0);

        Tables("second").Should().Equal(Tables("first"));
        // the network costs the same
        Tables("other").Except([File.ReadAllText(_folder.In("other", "cost.csv"))]).Should()
            .HaveCount(8).And.NotIntersectWith(Tables("first"));
    }

    [Fact]
    public void A_run_that_is_interrupted_and_resumed_ends_with_the_same_tables()
    {
        // Epochs long enough that the signal comes in the middle of a later one, on a busy machine too.
        string[] longer =
        [
            "--set", "train.epochs=5", "--set", "data.trainLimit=500", "--set", "train.batch=32", "--set", "export.weightsEvery=1",
        ];
        Train("whole", longer).Code.Should().Be(0);

        ImtaProcess.Result stopped = RunFiles.StopAfterAnEpoch(_folder, "broken", [.. ImtaProcess.Tiny, .. longer]);
        stopped.Error.Should().BeEmpty();
        stopped.Output.Should().Contain("imta train --resume broken");

        // What a torn write would leave behind goes too.
        File.AppendAllText(_folder.In("broken", "epochs.csv"), "3,1,0.0");
        ImtaProcess.Result resumed = ImtaProcess.Run(_folder.Path, "train", "--resume", "broken");
        resumed.Code.Should().Be(0, resumed.All);
        resumed.Output.Should().Contain("resuming after epoch");
        Tables("broken").Should().Equal(Tables("whole"));
        FilesOf("broken").Should().BeEquivalentTo(FilesOf("whole"));
    }

    [Fact]
    public void The_written_configuration_runs_again_to_the_same_tables()
    {
        Train("first", "--seed", "3").Code.Should().Be(0);
        ImtaProcess.Run(_folder.Path, "train", "first/config.yaml", "--out", "again").Code.Should().Be(0);

        Tables("again").Should().Equal(Tables("first"));
        File.ReadAllText(_folder.In("again", "config.yaml")).Should().Be(File.ReadAllText(_folder.In("first", "config.yaml")));
    }

    [Fact]
    public void A_run_without_a_name_is_called_like_its_configuration()
    {
        File.WriteAllText(_folder.In("my first.yaml"), "data:\n  dataset: generated\n");

        ImtaProcess.Result result = ImtaProcess.Run(
            _folder.Path, ["train", "my first.yaml", .. ImtaProcess.Tiny, "--set", "meta.enabled=false"]);

        result.Code.Should().Be(0, result.All);
        string folder = Directory.GetDirectories(_folder.In("runs")).Should().ContainSingle().Subject;
        Path.GetFileName(folder).Should().MatchRegex("^my-first-s0-[0-9]{8}-[0-9]{6}$");
        File.ReadAllText(Path.Combine(folder, "config.yaml")).Should().Contain("name: my-first");
    }

    [Fact]
    public void Force_replaces_a_run_and_nothing_else()
    {
        Train("run").Code.Should().Be(0);
        File.WriteAllText(_folder.In("run", "notes.txt"), "mine");
        ImtaProcess.Result again = Train("run", "--force", "--seed", "5");

        again.Code.Should().Be(0, again.All);
        File.ReadAllText(_folder.In("run", "config.yaml")).Should().Contain("seed: 5");
        File.ReadAllLines(_folder.In("run", "epochs.csv")).Should().HaveCount(5, "one header, two epochs of two exits");
        File.Exists(_folder.In("run", "notes.txt")).Should().BeTrue("only a run's own files are replaced");
    }

    [Fact]
    public void On_a_terminal_a_bar_shows_how_far_the_run_is()
    {
        Skip.IfNot(File.Exists("/usr/bin/script"), "script (bsdutils), which gives a command a terminal, is not here");
        string command = string.Join(
            ' ', ["dotnet", Path.Combine(AppContext.BaseDirectory, "imta.dll"), "train", "--out", "run", .. ImtaProcess.Tiny]);
        var start = new ProcessStartInfo(
            "/usr/bin/script", ["-qec", command, "/dev/null"])
        { WorkingDirectory = _folder.Path, RedirectStandardOutput = true };
        start.Environment["TERM"] = "xterm-256color";

        using Process process = Process.Start(start)!;
        string shown = process.StandardOutput.ReadToEnd();
        process.WaitForExit();

        process.ExitCode.Should().Be(0, shown);
        shown.Should().Contain("epoch 2/2, batch").And.Contain("%").And.Contain("results written to run");
    }

    [Fact]
    public void A_configuration_changed_since_the_start_is_not_taken_over()
    {
        Train("run").Code.Should().Be(0);
        string config = _folder.In("run", "config.yaml");
        File.WriteAllText(config, "# a thought\n" + File.ReadAllText(config).Replace("    after: 0\n", "", StringComparison.Ordinal));
        _folder.Run(0, "train", "--resume", "run"); // a comment, and a key that an earlier version did not write, change nothing

        File.WriteAllText(config, File.ReadAllText(config).Replace("momentum: 0.9", "momentum: 0.8", StringComparison.Ordinal));
        ImtaProcess.Result resumed = ImtaProcess.Run(_folder.Path, "train", "--resume", "run");

        resumed.Code.Should().Be(2, resumed.All);
        resumed.Error.Should().Contain("config.yaml was changed").And.NotContain("   at ");
    }

    [Fact]
    public void Resuming_a_finished_run_tests_it_again()
    {
        Train("run").Code.Should().Be(0);
        string[] before = Tables("run");

        ImtaProcess.Result resumed = ImtaProcess.Run(_folder.Path, "train", "--resume", "run");

        resumed.Code.Should().Be(0, resumed.All);
        resumed.Output.Should().Contain("learned sample weights vs. known difficulty");
        Tables("run").Should().Equal(before);
    }

    [Theory]
    [InlineData("cifar10-small.yaml")]
    [InlineData("cifar10-l2w.yaml")]
    [InlineData("cifar10-plain.yaml")]
    public void Real_images_train_too_and_resuming_finds_them_again(string configuration)
    {
        string? data = Environment.GetEnvironmentVariable("IMTA_CIFAR10");
        Skip.If(string.IsNullOrEmpty(data), "IMTA_CIFAR10 names no folder with CIFAR-10's binary files");

        ImtaProcess.Result result = ImtaProcess.Run(
            _folder.Path,
            [
                "train", Path.Combine(AppContext.BaseDirectory, "configs", configuration), "--data", data!, "--out", "run",
                .. ImtaProcess.Tiny, "--set", "train.epochs=1"
            ]);

        result.Code.Should().Be(0, result.All);
        Read<WeightRow>("run", "weights/epoch-0001.csv").Should().OnlyContain(row => row.Difficulty == null);
        ImtaProcess.Run(_folder.Path, "train", "--resume", "run").Code.Should().Be(0);
    }

    private ImtaProcess.Result Train(string run, params string[] arguments)
        => ImtaProcess.Run(_folder.Path, ["train", "--out", run, .. ImtaProcess.Tiny, .. arguments]);

    private static string[] Set(params string[] settings) => [.. settings.SelectMany(setting => new[] { "--set", setting })];

    private string[] FilesOf(string run) => RunFiles.Names(_folder.In(run));

    private string[] Tables(string run) => RunFiles.Tables(_folder.In(run));

    private string Header(string run, string file) => File.ReadLines(_folder.In(run, file)).First();

    private T[] Read<T>(string run, string file) => _folder.Read<T>(run, file);
}

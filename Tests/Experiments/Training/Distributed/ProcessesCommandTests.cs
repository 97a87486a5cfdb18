using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training.Distributed;
using Imta.MetaWeight.Tests.Experiments.Data;

namespace Imta.MetaWeight.Tests.Experiments.Training.Distributed;

/// <summary>Runs of several ranks as a user starts them: by Open MPI and by MPICH, where they are installed.</summary>
public sealed class ProcessesCommandTests : RanksTests
{
    [Fact]
    public void Both_libraries_give_the_same_numbers_as_processes_on_this_machine()
    {
        Launcher[] both = [Launcher.Need(OpenMpi), Launcher.Need(Mpich)];
        Folder.Run(0, ["train", "--out", "here", "--processes", "2", .. ImtaProcess.Tiny]);
        foreach (Launcher launcher in both)
        {
            using ImtaProcess run = Launch(launcher, ["train", "--out", launcher.Mpi, .. ImtaProcess.Tiny]);
            ImtaProcess.Result result = run.End();
            result.Code.Should().Be(0, result.All);
            Tables(In(launcher.Mpi)).Should().Equal(Tables(In("here")), launcher.Mpi);
        }
    }

    [Fact]
    public void Two_phases_held_out_meta_data_and_weights_of_all_ranks_are_in_the_tables()
    {
        Launcher.NeedAny();
        Folder.Run(0, [
            "train", "--out", "run", "--processes", "3", .. ImtaProcess.Tiny, "--set", "data.trainLimit=100", "--set", "train.batch=20",
            "--set", "meta.source=heldOut", "--set", "meta.perClass=1",
            "--set", "meta.lookahead=global", "--set", "modifiers.isc.enabled=true", "--set", "loss.ofa.enabled=true", "--set",
            "phase2.epochs=1", "--set", "phase2.batch=20"]);

        EpochRow[] rows = Folder.Read<EpochRow>("run", "epochs.csv");
        rows.Select(row => (row.Epoch, row.Phase)).Distinct().Should().Equal((1, 1), (2, 1), (3, 2));
        rows.Should()
            .OnlyContain(row => row.TrainLoss > 0 && row.TrainLoss < 20 && row.ValidationAccuracy >= 0 && row.ValidationAccuracy <= 1);
        long[] samples =
        [
            .. Folder.Read<WeightRow>("run", "weights", "epoch-0003.csv").Where(row => row.Exit == 1).Select(row => row.Sample),
        ];
        samples.Should().OnlyHaveUniqueItems().And.HaveCountGreaterThan(70, "three ranks see the epoch's images, each once");
        Folder.Read<PredictionRow>("run", "predictions.csv").Where(row => row is { Split: "test", Exit: 1 }).Select(row => row.Sample)
            .Should()
            .OnlyHaveUniqueItems().And.HaveCount(40);
        Folder.Run(0, "eval", "run").Output.Should().NotBeEmpty();
    }

    [Theory]
    [
        InlineData(
            "train.batch is 6; with 2 processes it must be at least 8, because each half of each process's batch needs 2 images",
            "--processes", "2", "--set", "train.batch=6")
    ]
    [InlineData("processes is 0; it must be", "--processes", "0")]
    [InlineData("--process-timeout must be at least 1 second", "--process-timeout", "0")]
    public void What_cannot_be_shared_is_refused(string message, params string[] arguments)
    {
        Folder.Run(2, ["train", "--out", "run", .. ImtaProcess.Tiny, .. arguments]).Error.Should()
            .Contain(message).And.NotContain("   at ");
        Directory.Exists(In("run")).Should().BeFalse();
    }

    [Fact]
    public void A_run_goes_on_by_as_many_ranks_as_it_had_and_a_launcher_has_to_start_as_many_as_are_asked_for()
    {
        Launcher launcher = Launcher.NeedAny();
        Folder.Run(0, ["train", "--out", "run", .. ImtaProcess.Tiny]);

        Refused(
            launcher, "run is trained with one process, but the launcher started 2; start 1, so that its results stay the same", "train",
            "--resume", "run");
        ImtaProcess.Result unequal = Unequal(launcher, ["train", "--out", "other", .. ImtaProcess.Tiny], ["train", "--resume", "run"]);
        unequal.Code.Should().Be(2, unequal.All);
        OwnLines(unequal).Should().ContainSingle().Which.Should().MatchRegex("^imta: rank 1 of 2 on .*: this rank was started with "
            + "--resume but rank 0 without it; start all ranks with the same command line$");
        Refused(launcher, "--processes 3 conflicts with the launcher, which started 2 ranks; omit it", "train", "--processes", "3");
        Refused(launcher, "unknown key train.bach", "train", "--set", "train.bach=3");
        Refused(launcher, "Unknown option --bogus", "train", "--bogus");
    }

    /// <summary>One library under the other's launcher makes worlds of one rank, each of which would write the run.</summary>
    [Theory]
    [InlineData(OpenMpi, Mpich)]
    [InlineData(Mpich, OpenMpi)]
    public void A_library_that_is_not_the_launchers_is_refused_in_one_line(string started, string loaded)
    {
        Launcher launcher = Launcher.Need(started), other = Launcher.Need(loaded);

        using ImtaProcess process = Launch(launcher, ["train", "--out", "run", .. ImtaProcess.Tiny], (MpiLibrary.Variable, other.File));
        ImtaProcess.Result result = process.End();

        result.Code.Should().Be(2, result.All);
        OwnLines(result).Should().ContainSingle().Which.Should().MatchRegex($"^imta: mpirun of {started} started 2 ranks, but {loaded} "
            + $"[0-9.]+ \\(.*\\) sees 1: the library does not match the launcher; .* {MpiLibrary.Variable}=");
        Directory.Exists(In("run")).Should().BeFalse();
    }

    /// <summary>Of one rank only: it says so, and is not silent because another one speaks for all.</summary>
    [Theory]
    [InlineData(OpenMpi, Mpich)]
    [InlineData(Mpich, OpenMpi)]
    public void One_rank_with_another_library_is_named(string started, string loaded)
    {
        Launcher launcher = Launcher.Need(started), other = Launcher.Need(loaded);
        string[] imta = ImtaProcess.Imta(["train", "--out", "run", "--process-timeout", "20", .. ImtaProcess.Tiny]);

        using ImtaProcess process = ImtaProcess.StartCommand(
            Folder.Path,
            [
                .. launcher.One, .. imta, .. launcher.Next, "env", $"{MpiLibrary.Variable}={other.File}",
                $"TMPDIR={Folder.Path}", .. imta, // there it meets no words of other tests' ranks
            ]);
        ImtaProcess.Result result = process.End();

        result.Code.Should().NotBe(0, result.All);
        OwnLines(result).Should()
            .ContainMatch($"imta: rank 1 of 2 on *: mpirun of {started} started 2 ranks, but {loaded} * sees 1: *");
        Directory.Exists(In("run")).Should().BeFalse();
    }

    /// <summary>The launcher's end of the error output may be gone, for instance with the network.</summary>
    [Fact]
    public void A_line_that_nobody_can_take_is_in_the_file_and_the_rank_ends_all_the_same()
    {
        Launcher launcher = Launcher.NeedAny();
        string[] imta = ImtaProcess.Imta(["train", "--out", "run", "--process-timeout", "2", .. ImtaProcess.Tiny]);

        using ImtaProcess process = ImtaProcess.StartCommand(
            Folder.Path,
            [
                .. launcher.One, "sh", "-c", "exec \"$@\" 2>/dev/full", "sh", "sh", "-c", "\"$@\"; echo $? >code", "sh", .. imta,
                .. launcher.Next, "sleep", "600",
            ], ("TMPDIR", Folder.Path));
        process.WaitUntil(() => File.Exists(In("code")) && File.ReadAllText(In("code")).EndsWith('\n'));

        File.ReadAllText(In("code")).Should().Be("1\n");
        string file = Directory.EnumerateFiles(In($"imta-{Environment.UserName}")).Should().ContainSingle().Which;
        File.ReadAllText(file).Should()
            .MatchRegex(" rank 0 of 2 on .* gave up after 2 s because not all ranks had started; nothing has been written");
    }

    [Theory]
    [InlineData("/nowhere/libmpi.so", "is '/nowhere/libmpi.so', which does not exist")]
    [InlineData("libc.so.6", "is 'libc.so.6', which is not an MPI library")]
    public void A_library_that_is_named_has_to_be_one(string library, string message)
    {
        ImtaProcess.Result result = ImtaProcess.Run(
            Folder.Path, [(MpiLibrary.Variable, library)], ["train", "--out", "run", "--processes", "2", .. ImtaProcess.Tiny]);

        result.Code.Should().Be(2);
        result.Error.Should().StartWith($"imta: {MpiLibrary.Variable} {message}").And.NotContain("   at ");
    }

    /// <summary>What torchrun or a notebook left in the environment; and no MPI library is looked for.</summary>
    [Fact]
    public void A_process_without_a_launcher_trains_alone()
        => ImtaProcess.Run(
            Folder.Path,
            [
                ("WORLD_SIZE", "2"), ("RANK", "1"), ("LOCAL_RANK", "1"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "29500"),
                (MpiLibrary.Variable, "/nowhere")
            ],
            ["train", "--out", "run", .. ImtaProcess.Tiny]).Output.Should().Contain("results written to run");

    [Fact]
    public void A_sweeps_runs_are_no_ranks_of_its_own_launcher()
    {
        Launcher launcher = Launcher.NeedAny();
        File.WriteAllText(In("sweep.yaml"), "seeds: [0]\nset: {threads: 1, data: {trainLimit: 80, testLimit: 40}, train: {batch: 16, "
            + "epochs: 1}, model: {msdnet: {blocks: 2, channels: 4, growth: 2}}}\nvariants: {one: {}}\n");

        using ImtaProcess sweep = ImtaProcess.StartCommand(
            Folder.Path, [.. launcher.One, .. ImtaProcess.Imta("sweep", "sweep.yaml", "--out", "sweep")], ("PMI_SIZE", "2"),
            ("PMI_RANK", "1"));
        ImtaProcess.Result result = sweep.End();

        result.Code.Should().Be(0, result.All);
        File.ReadAllText(In("sweep", "runs.csv")).Should().Contain(",done,");
    }

    [Theory]
    [InlineData(OpenMpi)]
    [InlineData(Mpich)]
    public void A_rank_that_does_not_start_is_told_and_nothing_is_left_behind(string mpi)
    {
        Launcher launcher = Launcher.Need(mpi);
        var clock = Stopwatch.StartNew();

        using ImtaProcess process = ImtaProcess.StartCommand(
            Folder.Path,
            [
                .. launcher.One, .. ImtaProcess.Imta(["train", "--out", "run", "--process-timeout", "2", .. ImtaProcess.Tiny]),
                .. launcher.Next, "sleep", "600"
            ]);
        ImtaProcess.Result result = process.End();

        result.Code.Should().NotBe(0, result.All);
        OwnLines(result).Should().ContainSingle().Which.Should()
            .MatchRegex("^imta: rank 0 of 2 on .* gave up after 2 s because not all ranks had started; nothing has been written");
        Directory.Exists(In("run")).Should().BeFalse();
        clock.Elapsed.Should().BeLessThan(TimeSpan.FromMinutes(1));
    }

    [Theory]
    [InlineData(OpenMpi)]
    [InlineData(Mpich)]
    public void Who_waits_for_a_rank_that_does_not_start_can_be_stopped(string mpi)
    {
        Launcher launcher = Launcher.Need(mpi);
        string pids = In("pids");
        string[] imta = ImtaProcess.Imta(["train", "--out", "run", .. ImtaProcess.Tiny]);

        using ImtaProcess process = ImtaProcess.StartCommand(
            Folder.Path, [.. launcher.One, "sh", "-c", $"echo $$ > {pids}; exec \"$@\"", "sh", .. imta, .. launcher.Next, "sleep", "600"]);
        process.WaitUntil(() => File.Exists(pids) && File.ReadAllText(pids).EndsWith('\n'));
        using var rank = Process.GetProcessById(int.Parse(File.ReadAllText(pids), CultureInfo.InvariantCulture));
        // it is about to wait
        process.WaitUntil(
            () => File.ReadAllText($"/proc/{rank.Id}/maps").Contains(Path.GetFileName(launcher.File), StringComparison.Ordinal));
        Thread.Sleep(500);
        var clock = Stopwatch.StartNew();
        process.Terminate();
        WaitForEnd(rank.Id);

        clock.Elapsed.Should().BeLessThan(TimeSpan.FromSeconds(10), "2 s are promised, the time-out is 300, and this machine may be busy");
        process.End().Code.Should().NotBe(0);
        Directory.Exists(In("run")).Should().BeFalse();
    }

    [Fact]
    public void A_rank_that_lacks_the_images_stops_all_before_anything_is_written()
    {
        Launcher launcher = Launcher.NeedAny();
        using var cifar = new DataCifarFolder(CifarFormat.Cifar10, perFile: 40);
        string[] arguments =
        [
            "train", "--out", "run", "--force", .. ImtaProcess.Tiny, "--set", "data.dataset=cifar10", "--allow", "overlap",
        ];
        Folder.Run(0, [.. arguments, "--data", cifar.Root]);
        string before = File.ReadAllText(In("run", "epochs.csv"));
        Directory.CreateDirectory(In("empty"));

        ImtaProcess.Result result = Unequal(launcher, [.. arguments, "--data", cifar.Root], [.. arguments, "--data", In("empty")]);

        result.Code.Should().Be(2, result.All);
        OwnLines(result).Should().ContainSingle().Which.Should().StartWith("imta: rank 1 of 2 on ").And.Contain("empty");
        File.ReadAllText(In("run", "epochs.csv")).Should().Be(before, "the run that was to be replaced is still there");
    }

    [Fact]
    public void A_rank_with_another_configuration_is_told()
    {
        Launcher launcher = Launcher.NeedAny();
        ImtaProcess.Result result = Unequal(
            launcher, ["train", "--out", "run", .. ImtaProcess.Tiny],
            ["train", "--out", "run", .. ImtaProcess.Tiny, "--set", "train.rate=0.3"]);

        result.Code.Should().Be(2, result.All);
        OwnLines(result).Should().ContainSingle().Which.Should().MatchRegex("^imta: rank 1 of 2 on .*: the configuration has 'rate: 0.3' "
            + "here but 'rate: .*' on rank 0; start all ranks with the same command line and file$");
        Directory.Exists(In("run")).Should().BeFalse();
    }
}

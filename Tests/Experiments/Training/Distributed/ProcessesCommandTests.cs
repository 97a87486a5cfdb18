using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training.Distributed;
using Imta.MetaWeight.Tests.Experiments.Data;

namespace Imta.MetaWeight.Tests.Experiments.Training.Distributed;

/// <summary>Runs of several ranks as a user starts them: by Open MPI and by MPICH, where they are installed.</summary>
public sealed partial class ProcessesCommandTests(ProcessesCommandTests.Undisturbed undisturbed)
    : IClassFixture<ProcessesCommandTests.Undisturbed>, IDisposable
{
    private const string OpenMpi = "Open MPI", Mpich = "MPICH";

    // Long enough for a signal to come in the middle; a checkpoint after every batch.
    private static readonly string[] Long =
    [
        .. ImtaProcess.Tiny, "--set", "train.epochs=9", "--set", "data.trainLimit=300", "--set", "train.batch=32", "--set",
        "export.weightsEvery=1",
    ];
    private static readonly string[] Often = ["--checkpoint-minutes", "0.0001"];
    private static readonly string[] Unlike = ["timing.csv", "environment.json", "log.txt"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [SkippableTheory]
    [InlineData(OpenMpi)]
    [InlineData(Mpich)]
    public void However_it_is_started_stopped_and_broken_off_a_run_has_the_same_numbers(string mpi)
    {
        Launcher launcher = Launcher.Need(mpi);
        (string, string)[] library = [(MpiLibrary.Variable, launcher.File)];
        ImtaProcess.Result whole = undisturbed.Result(launcher);
        whole.Output.Should()
            .Contain("2 ranks with 1 thread each").And.Contain("test accuracy").And.NotContain(
                "\u001b", "a rank's output is plain").And.NotContain("\r");
        whole.Error.Should().BeEmpty();

        // By the launcher itself: its Ctrl-C, then rank 1 killed, and both again.
        using (ImtaProcess interrupted = Launch(launcher, ["train", "--out", "killed", .. Often, .. Long]))
        {
            interrupted.WaitUntil(() => File.Exists(In("killed", "epochs.csv")));
            interrupted.Interrupt();
            ImtaProcess.Result result = interrupted.End();

            // MPICH's launcher may end with 0 although its ranks were stopped.
            bool stopped = result.Code != 0 || result.Output.Contains("stopped; resume with imta train --resume killed");
            stopped.Should().BeTrue(result.All);
        }

        using (ImtaProcess killed = Launch(launcher, ["train", "--resume", "killed"]))
        {
            killed.WaitUntil(() => File.ReadLines(In("killed", "epochs.csv")).Count() > 5);
            KillRank("killed", 1);
            ImtaProcess.Result result = killed.End();
            result.Code.Should().NotBe(0);
            if (launcher.IsOpenMpi) // MPICH's kills at once
            {
                result.All.Should().MatchRegex("imta: rank 0 of 2 on .* was asked to stop and has waited .* s for the other ranks at .* "
                    + "\\(.*epoch [1-9].*\\); killed/checkpoints/latest.pt is intact: resume with imta train --resume killed");
            }
        }

        using (ImtaProcess again = Launch(launcher, ["train", "--resume", "killed"]))
        {
            ImtaProcess.Result result = again.End();
            result.Code.Should().Be(0, result.All);
            result.Output.Should().Contain("resuming after epoch").And.NotContain("\u001b");
        }

        // Ctrl-C; rank 0 killed.
        using (ImtaProcess stopped = ImtaProcess.Start(_folder.Path, library,
            ["train", "--out", "stopped", "--processes", "2", "--checkpoint-minutes", "0", .. Long]))
        {
            stopped.WaitUntil(() => File.Exists(In("stopped", "epochs.csv")));
            stopped.Interrupt();
            ImtaProcess.Result result = stopped.End();
            result.Code.Should().Be(ImtaProcess.Interrupted, result.All);
            result.Output.Should().Contain("stopped; resume with imta train --resume stopped");
        }

        using (ImtaProcess again = ImtaProcess.Start(_folder.Path, library, ["train", "--resume", "stopped"]))
        {
            again.WaitUntil(() => File.ReadLines(In("stopped", "epochs.csv")).Count() > 5);
            KillRank("stopped", 0);
            ImtaProcess.Result result = again.End();
            result.Code.Should().Be(1, result.All);
            result.Error.Should().MatchRegex("imta: a rank was killed by a signal or exited without a message "
                + "\\(mpirun exit code [0-9]+\\); resume with imta train --resume stopped\n$");
        }

        ImtaProcess.Run(_folder.Path, library, "train", "--resume", "stopped").Code.Should().Be(0);
        foreach (string run in (string[])["killed", "stopped"])
        {
            Tables(In(run)).Should().Equal(undisturbed.Tables(launcher), run);
        }
    }

    [SkippableFact]
    public void Both_libraries_give_the_same_numbers_as_processes_on_this_machine()
    {
        Launcher[] both = [Launcher.Need(OpenMpi), Launcher.Need(Mpich)];
        _folder.Run(0, ["train", "--out", "here", "--processes", "2", .. ImtaProcess.Tiny]);
        foreach (Launcher launcher in both)
        {
            using ImtaProcess run = Launch(launcher, ["train", "--out", launcher.Mpi, .. ImtaProcess.Tiny]);
            ImtaProcess.Result result = run.End();
            result.Code.Should().Be(0, result.All);
            Tables(In(launcher.Mpi)).Should().Equal(Tables(In("here")), launcher.Mpi);
        }
    }

    [SkippableFact]
    public void Two_phases_held_out_meta_data_and_weights_of_all_ranks_are_in_the_tables()
    {
        Launcher.NeedAny();
        _folder.Run(0, [
            "train", "--out", "run", "--processes", "3", .. ImtaProcess.Tiny, "--set", "data.trainLimit=100", "--set", "train.batch=20",
            "--set", "meta.source=heldOut", "--set", "meta.perClass=1",
            "--set", "meta.lookahead=global", "--set", "modifiers.isc.enabled=true", "--set", "loss.ofa.enabled=true", "--set",
            "phase2.epochs=1", "--set", "phase2.batch=20"]);

        EpochRow[] rows = _folder.Read<EpochRow>("run", "epochs.csv");
        rows.Select(row => (row.Epoch, row.Phase)).Distinct().Should().Equal((1, 1), (2, 1), (3, 2));
        rows.Should()
            .OnlyContain(row => row.TrainLoss > 0 && row.TrainLoss < 20 && row.ValidationAccuracy >= 0 && row.ValidationAccuracy <= 1);
        long[] samples =
        [
            .. _folder.Read<WeightRow>("run", "weights", "epoch-0003.csv").Where(row => row.Exit == 1).Select(row => row.Sample),
        ];
        samples.Should().OnlyHaveUniqueItems().And.HaveCountGreaterThan(70, "three ranks see the epoch's images, each once");
        _folder.Read<PredictionRow>("run", "predictions.csv").Where(row => row is { Split: "test", Exit: 1 }).Select(row => row.Sample)
            .Should()
            .OnlyHaveUniqueItems().And.HaveCount(40);
        _folder.Run(0, "eval", "run").Output.Should().NotBeEmpty();
    }

    [SkippableTheory]
    [
        InlineData(
            "train.batch is 6; with 2 processes it must be at least 8, because each half of each process's batch needs 2 images",
            "--processes", "2", "--set", "train.batch=6")
    ]
    [InlineData("processes is 0; it must be", "--processes", "0")]
    [InlineData("--process-timeout must be at least 1 second", "--process-timeout", "0")]
    public void What_cannot_be_shared_is_refused(string message, params string[] arguments)
    {
        _folder.Run(2, ["train", "--out", "run", .. ImtaProcess.Tiny, .. arguments]).Error.Should()
            .Contain(message).And.NotContain("   at ");
        Directory.Exists(In("run")).Should().BeFalse();
    }

    [SkippableFact]
    public void A_run_goes_on_by_as_many_ranks_as_it_had_and_a_launcher_has_to_start_as_many_as_are_asked_for()
    {
        Launcher launcher = Launcher.NeedAny();
        _folder.Run(0, ["train", "--out", "run", .. ImtaProcess.Tiny]);

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
    [SkippableTheory]
    [InlineData(OpenMpi, Mpich)]
    [InlineData(Mpich, OpenMpi)]
    public void A_library_that_is_not_the_launchers_is_refused_in_one_line(string started, string loaded)
    {
        Launcher launcher = Launcher.Need(started), other = Launcher.Need(loaded);

        using ImtaProcess process = Launch(launcher, ["train", "--out", "run", .. ImtaProcess.Tiny], (MpiLibrary.Variable, other.File));
        ImtaProcess.Result result = process.End();

        result.Code.Should().Be(2, result.All);
        OwnLines(result).Should().ContainSingle().Which.Should().MatchRegex($"^imta: mpirun of {started} started 2 ranks, but {loaded} "
            + $"[0-9.]+ \\(.*\\) sees 1: the library does not belong to the launcher; .* {MpiLibrary.Variable}=");
        Directory.Exists(In("run")).Should().BeFalse();
    }

    /// <summary>Of one rank only: it says so, and is not silent because another one speaks for all.</summary>
    [SkippableTheory]
    [InlineData(OpenMpi, Mpich)]
    [InlineData(Mpich, OpenMpi)]
    public void One_rank_with_another_library_is_named(string started, string loaded)
    {
        Launcher launcher = Launcher.Need(started), other = Launcher.Need(loaded);
        string[] imta = ImtaProcess.Imta(["train", "--out", "run", "--process-timeout", "5", .. ImtaProcess.Tiny]);

        using ImtaProcess process = ImtaProcess.StartCommand(
            _folder.Path, [.. launcher.One, .. imta, .. launcher.Next, "env", $"{MpiLibrary.Variable}={other.File}", .. imta]);
        ImtaProcess.Result result = process.End();

        result.Code.Should().NotBe(0, result.All);
        OwnLines(result).Should()
            .ContainMatch($"imta: rank 1 of 2 on *: mpirun of {started} started 2 ranks, but {loaded} * sees 1: *");
        Directory.Exists(In("run")).Should().BeFalse();
    }

    /// <summary>The launcher's end of the error output may be gone, for instance with the network.</summary>
    [SkippableFact]
    public void A_line_that_nobody_can_take_is_in_the_file_and_the_rank_ends_all_the_same()
    {
        Launcher launcher = Launcher.NeedAny();
        string[] imta = ImtaProcess.Imta(["train", "--out", "run", "--process-timeout", "2", .. ImtaProcess.Tiny]);

        using ImtaProcess process = ImtaProcess.StartCommand(
            _folder.Path,
            [
                .. launcher.One, "sh", "-c", "exec \"$@\" 2>/dev/full", "sh", "sh", "-c", "\"$@\"; echo $? >code", "sh", .. imta,
                .. launcher.Next, "sleep", "600",
            ], ("TMPDIR", _folder.Path));
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
            _folder.Path, [(MpiLibrary.Variable, library)], ["train", "--out", "run", "--processes", "2", .. ImtaProcess.Tiny]);

        result.Code.Should().Be(2);
        result.Error.Should().StartWith($"imta: {MpiLibrary.Variable} {message}").And.NotContain("   at ");
    }

    /// <summary>What torchrun or a notebook left in the environment; and no MPI library is looked for.</summary>
    [Fact]
    public void A_process_without_a_launcher_trains_alone()
        => ImtaProcess.Run(
            _folder.Path,
            [
                ("WORLD_SIZE", "2"), ("RANK", "1"), ("LOCAL_RANK", "1"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "29500"),
                (MpiLibrary.Variable, "/nowhere")
            ],
            ["train", "--out", "run", .. ImtaProcess.Tiny]).Output.Should().Contain("results written to run");

    [SkippableFact]
    public void A_sweeps_runs_are_no_ranks_of_its_own_launcher()
    {
        Launcher launcher = Launcher.NeedAny();
        File.WriteAllText(In("sweep.yaml"), "seeds: [0]\nset: {threads: 1, data: {trainLimit: 80, testLimit: 40}, train: {batch: 16, "
            + "epochs: 1}, model: {msdnet: {blocks: 2, channels: 4, growth: 2}}}\nvariants: {one: {}}\n");

        using ImtaProcess sweep = ImtaProcess.StartCommand(
            _folder.Path, [.. launcher.One, .. ImtaProcess.Imta("sweep", "sweep.yaml", "--out", "sweep")], ("PMI_SIZE", "2"),
            ("PMI_RANK", "1"));
        ImtaProcess.Result result = sweep.End();

        result.Code.Should().Be(0, result.All);
        File.ReadAllText(In("sweep", "runs.csv")).Should().Contain(",done,");
    }

    [SkippableTheory]
    [InlineData(OpenMpi)]
    [InlineData(Mpich)]
    public void A_rank_that_does_not_start_is_told_and_nothing_is_left_behind(string mpi)
    {
        Launcher launcher = Launcher.Need(mpi);
        var clock = Stopwatch.StartNew();

        using ImtaProcess process = ImtaProcess.StartCommand(
            _folder.Path,
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

    [SkippableTheory]
    [InlineData(OpenMpi)]
    [InlineData(Mpich)]
    public void Who_waits_for_a_rank_that_does_not_start_can_be_stopped(string mpi)
    {
        Launcher launcher = Launcher.Need(mpi);
        string pids = In("pids");
        string[] imta = ImtaProcess.Imta(["train", "--out", "run", .. ImtaProcess.Tiny]);

        using ImtaProcess process = ImtaProcess.StartCommand(
            _folder.Path, [.. launcher.One, "sh", "-c", $"echo $$ > {pids}; exec \"$@\"", "sh", .. imta, .. launcher.Next, "sleep", "600"]);
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

    [SkippableTheory]
    [InlineData(OpenMpi)]
    [InlineData(Mpich)]
    public void A_rank_that_hangs_is_noticed_and_the_run_goes_on_to_the_same_numbers(string mpi)
    {
        Launcher launcher = Launcher.Need(mpi);
        (string, string)[] library = [(MpiLibrary.Variable, launcher.File)];
        using (ImtaProcess hung = ImtaProcess.Start(_folder.Path, library,
            ["train", "--out", "run", "--processes", "2", "--process-timeout", "2", .. Often, .. Long]))
        {
            hung.WaitUntil(() => File.Exists(In("run", "epochs.csv")));
            ImtaProcess.Stop(PidOf("run", 1));
            ImtaProcess.Result result = hung.End();
            result.Code.Should().Be(1, result.All);
            result.Error.Should().MatchRegex("imta: rank 0 of 2 on .* gave up after waiting 2 s for the other ranks at .*; "
                + "run/checkpoints/latest.pt is intact: resume with imta train --resume run\n");
        }

        ImtaProcess.Run(_folder.Path, library, "train", "--resume", "run").Code.Should().Be(0);
        Tables(In("run")).Should().Equal(undisturbed.Tables(launcher));
    }

    [SkippableFact]
    public void A_rank_that_lacks_the_images_stops_all_before_anything_is_written()
    {
        Launcher launcher = Launcher.NeedAny();
        using var cifar = new DataCifarFolder(CifarFormat.Cifar10, perFile: 40);
        string[] arguments =
        [
            "train", "--out", "run", "--force", .. ImtaProcess.Tiny, "--set", "data.dataset=cifar10", "--allow", "overlap",
        ];
        _folder.Run(0, [.. arguments, "--data", cifar.Root]);
        string before = File.ReadAllText(In("run", "epochs.csv"));
        Directory.CreateDirectory(In("empty"));

        ImtaProcess.Result result = Unequal(launcher, [.. arguments, "--data", cifar.Root], [.. arguments, "--data", In("empty")]);

        result.Code.Should().Be(2, result.All);
        OwnLines(result).Should().ContainSingle().Which.Should().StartWith("imta: rank 1 of 2 on ").And.Contain("empty");
        File.ReadAllText(In("run", "epochs.csv")).Should().Be(before, "the run that was to be replaced is still there");
    }

    [SkippableFact]
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

    /// <summary>Two network namespaces, each with its own address, joined by a cable that is cut.</summary>
    [SkippableTheory]
    [InlineData(OpenMpi)]
    [InlineData(Mpich)]
    public void Two_machines_train_together_notice_a_cut_cable_and_go_on(string mpi)
    {
        Launcher launcher = Launcher.Need(mpi);
        using TwoMachines? machines = TwoMachines.Build();
        Skip.If(machines is null, "network namespaces need root, ip (iproute2) and a kernel that permits them");
        string[] start = machines!.Starting(_folder.Path, launcher), patience = ["--process-timeout", "5"];
        string[] run = [.. patience, .. Often, .. Long];
        var clock = Stopwatch.StartNew();
        using (ImtaProcess cut = ImtaProcess.StartCommand(_folder.Path, [.. start, .. ImtaProcess.Imta(["train", "--out", "cut", .. run])]))
        {
            cut.WaitUntil(() => File.Exists(In("cut", "epochs.csv")));
            machines.Cut();
            int[] ranks = [PidOf("cut", 0), PidOf("cut", 1)];
            WaitForEnd(ranks);
            clock.Elapsed.Should().BeLessThan(TimeSpan.FromMinutes(1), "with the start, an epoch, 5 s of waiting and 5 s for MPI_Abort");
            cut.Kill(); // Open MPI's mpirun waits for what it has started on the other machine
            foreach (int rank in (int[])[0, 1])
            {
                File.ReadAllText(LastWordsOf("cut", rank)).Should().MatchRegex(
                    $" rank {rank} of 2 on {(rank == 0 ? ".*" : machines.SecondName)} gave up after waiting 5 s for the other ranks at .*; "
                    + "cut/checkpoints/latest.pt is intact: resume with imta train --resume cut\n");
            }
        }

        machines.Mend();
        using (ImtaProcess again = ImtaProcess.StartCommand(_folder.Path,
            [.. start, .. ImtaProcess.Imta(["train", "--resume", "cut", .. patience])]))
        {
            ImtaProcess.Result result = again.End();
            result.Code.Should().Be(0, result.All);
        }

        Tables(In("cut")).Should().Equal(undisturbed.Tables(launcher), "two machines compute what one does");
    }

    private static string[] OwnLines(ImtaProcess.Result result)
        =>
        [
            .. result.All.Split('\n').Select(line => line.TrimEnd('\r')).Where(line => line.StartsWith("imta: ", StringComparison.Ordinal)),
        ];

    private static void WaitForEnd(params int[] processes)
        => SpinWait.SpinUntil(() => !processes.Any(Runs), TimeSpan.FromMinutes(1)).Should().BeTrue("they end");

    private static bool Runs(int process)
        => Directory.Exists($"/proc/{process}") && !File.ReadAllText($"/proc/{process}/stat").Contains(") Z ", StringComparison.Ordinal);

    [GeneratedRegex(@"rank (\d+): process (\d+) on .* also in (.*) there")]
    private static partial Regex RankLine();

    private string In(params string[] parts) => _folder.In(parts);

    private ImtaProcess Launch(Launcher launcher, string[] arguments, params (string, string)[] environment)
        => ImtaProcess.StartCommand(_folder.Path, [.. launcher.Starting(2), .. ImtaProcess.Imta(arguments)], environment);

    private void Refused(Launcher launcher, string message, params string[] arguments)
    {
        using ImtaProcess process = Launch(launcher, arguments);
        ImtaProcess.Result result = process.End();
        result.Code.Should().Be(2, result.All);
        OwnLines(result).Should().ContainSingle(message).Which.Should().Contain(message);
    }

    private ImtaProcess.Result Unequal(Launcher launcher, string[] first, string[] second)
    {
        using ImtaProcess process = ImtaProcess.StartCommand(
            _folder.Path, [.. launcher.One, .. ImtaProcess.Imta(first), .. launcher.Next, .. ImtaProcess.Imta(second)]);
        return process.End();
    }

    /// <summary>What the run's log says of a rank, at its last start.</summary>
    private Match LineOf(string run, int rank)
        => RankLine().Matches(File.ReadAllText(In(run, "log.txt")))
            .Last(match => int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture) == rank);

    private int PidOf(string run, int rank) => int.Parse(LineOf(run, rank).Groups[2].Value, CultureInfo.InvariantCulture);

    private string LastWordsOf(string run, int rank) => LineOf(run, rank).Groups[3].Value;

    private void KillRank(string run, int rank)
    {
        using var process = Process.GetProcessById(PidOf(run, rank));
        process.Kill();
    }

    private static Dictionary<string, string> Tables(string run) => Directory.EnumerateFiles(run, "*.csv", SearchOption.AllDirectories)
        .Where(file => !Unlike.Contains(Path.GetFileName(file)))
        .OrderBy(file => file, StringComparer.Ordinal)
        .ToDictionary(file => Path.GetRelativePath(run, file), File.ReadAllText);

    /// <summary>A <see cref="Long"/> run by each library that nothing disturbs, made when it is first asked for.</summary>
    public sealed class Undisturbed : IDisposable
    {
        private readonly TemporaryFolder _folder = new();
        private readonly Dictionary<string, ImtaProcess.Result> _results = [];

        public void Dispose() => _folder.Dispose();

        internal ImtaProcess.Result Result(Launcher launcher)
        {
            if (!_results.TryGetValue(launcher.Mpi, out ImtaProcess.Result? result))
            {
                result = ImtaProcess.Run(
                    _folder.Path, [(MpiLibrary.Variable, launcher.File)],
                    ["train", "--out", launcher.Mpi, "--processes", "2", .. Long]);
                result.Code.Should().Be(0, result.All);
                _results[launcher.Mpi] = result;
            }

            return result;
        }

        internal Dictionary<string, string> Tables(Launcher launcher)
        {
            _ = Result(launcher);
            return ProcessesCommandTests.Tables(_folder.In(launcher.Mpi));
        }
    }
}

using System.Diagnostics;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Tests.Experiments.Processes;

/// <summary>Runs of several processes as a user starts them.</summary>
public sealed class ProcessesCommandTests : IDisposable
{
    // Long enough for a signal to come in the middle; a checkpoint behind every batch.
    private static readonly string[] Long = [.. ImtaProcess.Tiny, "--set", "train.epochs=4", "--set", "data.trainLimit=300", "--set", "export.weightsEvery=1"];
    private static readonly string[] Unlike = ["timing.csv", "environment.json", "log.txt"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [SkippableFact]
    public void However_it_is_started_stopped_and_broken_off_a_run_has_the_same_numbers()
    {
        NeedsEngine();
        _folder.Run(0, ["train", "--out", "whole", "--processes", "2", .. Long]).Output.Should().Contain("2 processes of 1 threads").And.Contain("test accuracy");

        // A launcher, a process that is killed, and both again.
        (ImtaProcess.Result first, ImtaProcess.Result second) = Launched(["train", "--out", "killed", "--checkpoint-minutes", "0.0001", .. Long], other => other.Kill(), killWhen: In("killed", "epochs.csv"));
        first.Code.Should().Be(1, first.All);
        first.Error.Should().Contain("imta: process 0 of 2 does not hear from the others (").And.Contain("go on by imta train --resume killed");
        (first, second) = Launched(["train", "--resume", "killed"]);
        (first.Code, second.Code).Should().Be((0, 0), first.All + second.All);
        second.All.Should().Be("exit code 0\n", "process 0 speaks for all");

        // Ctrl-C; process 0 killed.
        using (ImtaProcess stopped = ImtaProcess.Start(_folder.Path, ["train", "--out", "stopped", "--processes", "2", "--checkpoint-minutes", "0", .. Long]))
        {
            stopped.WaitUntil(() => File.Exists(In("stopped", "epochs.csv")));
            stopped.Interrupt();
            ImtaProcess.Result result = stopped.End();
            result.Code.Should().Be(130, result.All);
            result.Output.Should().Contain("stopped; go on: imta train --resume stopped");
        }

        using (ImtaProcess again = ImtaProcess.Start(_folder.Path, "train", "--resume", "stopped"))
        {
            again.WaitUntil(() => File.ReadLines(In("stopped", "epochs.csv")).Count() > 5);
            again.Kill();
            again.End();
        }

        _folder.Run(0, "train", "--resume", "stopped");
        foreach (string run in (string[])["killed", "stopped"])
        {
            Tables(run).Should().Equal(Tables("whole"), run);
        }
    }

    [SkippableFact]
    public void Two_phases_held_out_meta_data_and_weights_of_all_processes_are_in_the_tables()
    {
        NeedsEngine();
        _folder.Run(0, [
            "train", "--out", "run", "--processes", "3", .. ImtaProcess.Tiny, "--set", "data.trainLimit=100", "--set", "train.batch=20", "--set", "meta.source=heldOut", "--set", "meta.perClass=1",
            "--set", "meta.lookahead=global", "--set", "modifiers.isc.enabled=true", "--set", "loss.ofa.enabled=true", "--set", "phase2.epochs=1", "--set", "phase2.batch=20"]);

        EpochRow[] rows = _folder.Read<EpochRow>("run", "epochs.csv");
        rows.Select(row => (row.Epoch, row.Phase)).Distinct().Should().Equal((1, 1), (2, 1), (3, 2));
        rows.Should().OnlyContain(row => row.TrainLoss > 0 && row.TrainLoss < 20 && row.ValidationAccuracy >= 0 && row.ValidationAccuracy <= 1);
        long[] samples = [.. _folder.Read<WeightRow>("run", "weights", "epoch-0003.csv").Where(row => row.Exit == 1).Select(row => row.Sample)];
        samples.Should().OnlyHaveUniqueItems().And.HaveCountGreaterThan(70, "three processes see the epoch's images, each once");
        _folder.Read<PredictionRow>("run", "predictions.csv").Where(row => row is { Split: "test", Exit: 1 }).Select(row => row.Sample).Should().OnlyHaveUniqueItems().And.HaveCount(40);
        _folder.Run(0, "eval", "run").Output.Should().NotBeEmpty();
    }

    [SkippableTheory]
    [InlineData("train.batch is 6; 2 processes take 8 at least, 2 images for each half of each", "--processes", "2", "--set", "train.batch=6")]
    [InlineData("processes is 0; it takes", "--processes", "0")]
    [InlineData("--process-timeout takes 1 second or more", "--process-timeout", "0")]
    public void What_cannot_be_shared_is_refused(string message, params string[] arguments)
    {
        NeedsEngine();
        _folder.Run(2, ["train", "--out", "run", .. ImtaProcess.Tiny, .. arguments]).Error.Should().Contain(message).And.NotContain("   at ");
        Directory.Exists(In("run")).Should().BeFalse();
    }

    [SkippableFact]
    public void A_run_goes_on_by_as_many_processes_as_it_had_and_a_launcher_has_to_start_as_many_as_are_asked_for()
    {
        NeedsEngine();
        _folder.Run(0, ["train", "--out", "run", .. ImtaProcess.Tiny]);

        ImtaProcess.Run(_folder.Path, Place(0, ProcessGroupOnThreads.FreePort()), "train", "--resume", "run").Error
            .Should().Contain("run is trained by 1 processes, and the launcher started 2");
        ImtaProcess.Run(_folder.Path, Place(0, ProcessGroupOnThreads.FreePort()), "train", "--processes", "3").Error
            .Should().Contain("--processes 3 stands beside a launcher that started 2 processes");
    }

    [SkippableFact]
    public void Who_has_nobody_to_train_with_is_told_and_leaves_nothing_behind()
    {
        NeedsEngine();
        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, Place(0, ProcessGroupOnThreads.FreePort()), ["train", "--out", "run", "--process-timeout", "2", .. ImtaProcess.Tiny]);

        result.Code.Should().Be(1, result.All);
        result.Error.Should().Contain("imta: process 0 of 2 waited for the others at 127.0.0.1:");
        Directory.Exists(In("run")).Should().BeFalse();
    }

    [SkippableFact]
    public void A_process_that_lacks_the_images_stops_all_before_anything_is_written()
    {
        NeedsEngine();
        using var cifar = new DataCifarFolder(CifarFormat.Cifar10, perFile: 40);
        string[] arguments = ["train", "--out", "run", "--force", .. ImtaProcess.Tiny, "--set", "data.dataset=cifar10", "--allow", "overlap"];
        _folder.Run(0, [.. arguments, "--data", cifar.Root]);
        string before = File.ReadAllText(In("run", "epochs.csv"));
        int port = ProcessGroupOnThreads.FreePort();

        using ImtaProcess second = ImtaProcess.Start(_folder.Path, Place(1, port), [.. arguments, "--data", In("nowhere")]);
        using ImtaProcess first = ImtaProcess.Start(_folder.Path, Place(0, port), [.. arguments, "--data", cifar.Root]);
        (ImtaProcess.Result one, ImtaProcess.Result other) = (first.End(), second.End());

        (one.Code, other.Code).Should().Be((2, 2), one.All + other.All);
        one.Error.Should().StartWith("imta: process 1 of 2: ").And.Contain("nowhere").And.NotContain("   at ");
        File.ReadAllText(In("run", "epochs.csv")).Should().Be(before, "the run that was to be replaced is still there");
    }

    [SkippableFact]
    public void On_several_machines_the_first_ones_name_has_to_lead_beyond_it()
    {
        NeedsEngine();
        ImtaProcess.Run(_folder.Path, Place(0, ProcessGroupOnThreads.FreePort(), localRank: 0), ["train", "--out", "run", .. ImtaProcess.Tiny]).Error
            .Should().Contain("MASTER_ADDR is 127.0.0.1, by which this machine reaches itself only (127.0.0.1)");
    }

    /// <summary>Two network namespaces, each with its own address, joined by a cable that is cut.</summary>
    [SkippableFact]
    public void Two_machines_train_together_notice_a_cut_cable_and_go_on()
    {
        NeedsEngine();
        using TwoMachines? machines = TwoMachines.Build();
        Skip.If(machines is null, "network namespaces need root, ip (iproute2) and a kernel that permits them");
        string[] patience = ["--process-timeout", "5"];
        string[] run = [.. patience, "--checkpoint-minutes", "0.0001", .. Long];
        (ImtaProcess.Result first, ImtaProcess.Result second) = On(machines!, ["train", "--out", "whole", .. run]);
        (first.Code, second.Code).Should().Be((0, 0), first.All + second.All);

        var clock = Stopwatch.StartNew();
        (first, second) = On(machines!, ["train", "--out", "cut", .. run], cutWhen: In("cut", "epochs.csv"));

        (first.Code, second.Code).Should().Be((1, 1), first.All + second.All);
        first.Error.Should().Contain("process 0 of 2 does not hear from the others").And.Contain("go on by imta train --resume cut");
        second.Error.Should().Contain("process 1 of 2 does not hear from the others").And.Contain("go on by imta train --resume cut");
        clock.Elapsed.Should().BeLessThan(TimeSpan.FromMinutes(2));
        machines!.Mend();
        (first, second) = On(machines, ["train", "--resume", "cut", .. patience]);
        (first.Code, second.Code).Should().Be((0, 0), first.All + second.All);
        Tables("cut").Should().Equal(Tables("whole"));
    }

    internal static void NeedsEngine() => Skip.If(Imta.MetaWeight.Native.ProcessGroup.Engines == 0, "this build has no engine to join processes by");

    internal static (string, string)[] Place(int rank, int port, string host = "127.0.0.1", int localRank = -1) =>
    [
        ("RANK", $"{rank}"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", $"{(localRank < 0 ? rank : localRank)}"), ("LOCAL_WORLD_SIZE", localRank < 0 ? "2" : "1"), ("MASTER_ADDR", host), ("MASTER_PORT", $"{port}"),
    ];

    private string In(params string[] parts) => _folder.In(parts);

    /// <summary>Starts process 0 and process 1 as a launcher does; on the way something may happen to process 1.</summary>
    private (ImtaProcess.Result First, ImtaProcess.Result Second) Launched(string[] arguments, Action<ImtaProcess>? harm = null, string? killWhen = null)
    {
        int port = ProcessGroupOnThreads.FreePort();
        using ImtaProcess second = ImtaProcess.Start(_folder.Path, Place(1, port), arguments), first = ImtaProcess.Start(_folder.Path, Place(0, port), arguments);
        if (killWhen is not null)
        {
            first.WaitUntil(() => File.Exists(killWhen));
            harm!(second);
        }

        return (first.End(), second.End());
    }

    private (ImtaProcess.Result First, ImtaProcess.Result Second) On(TwoMachines machines, string[] arguments, string? cutWhen = null)
    {
        int port = ProcessGroupOnThreads.FreePort();
        using ImtaProcess second = ImtaProcess.Start(_folder.Path, machines.Second, Place(1, port, TwoMachines.Address, 0), arguments);
        using ImtaProcess first = ImtaProcess.Start(_folder.Path, machines.First, Place(0, port, TwoMachines.Address, 0), arguments);
        if (cutWhen is not null)
        {
            first.WaitUntil(() => File.Exists(cutWhen));
            machines.Cut();
        }

        return (first.End(), second.End());
    }

    private Dictionary<string, string> Tables(string run) => Directory.EnumerateFiles(In(run), "*.csv", SearchOption.AllDirectories)
        .Where(file => !Unlike.Contains(Path.GetFileName(file)))
        .OrderBy(file => file, StringComparer.Ordinal)
        .ToDictionary(file => Path.GetRelativePath(In(run), file), File.ReadAllText);
}

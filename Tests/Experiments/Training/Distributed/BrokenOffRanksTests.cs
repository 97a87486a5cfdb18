using System.Diagnostics;
using System.Text.RegularExpressions;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Tests.Experiments.Training.Distributed;

/// <summary>Runs of several ranks that are interrupted, killed, hung and cut off go on to the numbers of those that are not.</summary>
public sealed class BrokenOffRanksTests(RanksTests.Undisturbed undisturbed) : RanksTests, IClassFixture<RanksTests.Undisturbed>
{
    [Theory]
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
            WaitForEpoch(killed, "killed", start: 2, epoch: 3);
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

        // By the program: Ctrl-C, then rank 0 killed, then rank 1 that hangs.
        using (ImtaProcess stopped = ImtaProcess.Start(Folder.Path, library,
            ["train", "--out", "stopped", "--processes", "2", "--checkpoint-minutes", "0", .. Long]))
        {
            stopped.WaitUntil(() => File.Exists(In("stopped", "epochs.csv")));
            stopped.Interrupt();
            ImtaProcess.Result result = stopped.End();
            result.Code.Should().Be(ImtaProcess.Interrupted, result.All);
            result.Output.Should().Contain("stopped; resume with imta train --resume stopped");
        }

        using (ImtaProcess again = ImtaProcess.Start(Folder.Path, library, ["train", "--resume", "stopped"]))
        {
            WaitForEpoch(again, "stopped", start: 2, epoch: 3);
            KillRank("stopped", 0);
            ImtaProcess.Result result = again.End();
            result.Code.Should().Be(1, result.All);
            result.Error.Should().MatchRegex("imta: a rank was killed by a signal or exited without a message "
                + "\\(mpirun exit code [0-9]+\\); resume with imta train --resume stopped\n$");
        }

        using (ImtaProcess hung = ImtaProcess.Start(Folder.Path, library,
            ["train", "--resume", "stopped", "--process-timeout", "10"]))
        {
            WaitForEpoch(hung, "stopped", start: 3, epoch: 4);
            ImtaProcess.Stop(PidOf("stopped", 1));
            ImtaProcess.Result result = hung.End();
            result.Code.Should().Be(1, result.All);
            result.Error.Should().MatchRegex("imta: rank 0 of 2 on .* gave up after waiting 10 s for the other ranks at .*; "
                + "stopped/checkpoints/latest.pt is intact: resume with imta train --resume stopped\n");
        }

        ImtaProcess.Run(Folder.Path, library, "train", "--resume", "stopped").Code.Should().Be(0);
        foreach (string run in (string[])["killed", "stopped"])
        {
            Tables(In(run)).Should().Equal(undisturbed.Tables(launcher), run);
        }
    }

    /// <summary>Two network namespaces, each with its own address, joined by a cable that is cut.</summary>
    [Theory]
    [InlineData(OpenMpi)]
    [InlineData(Mpich)]
    public void Two_machines_train_together_notice_a_cut_cable_and_go_on(string mpi)
    {
        Launcher launcher = Launcher.Need(mpi);
        using TwoMachines? machines = TwoMachines.Build();
        Skip.If(machines is null, "network namespaces need root, ip (iproute2) and a kernel that permits them");
        string[] start = machines!.Starting(Folder.Path, launcher), patience = ["--process-timeout", "10"];
        string[] run = [.. patience, .. Often, .. Long];
        using (ImtaProcess cut = ImtaProcess.StartCommand(Folder.Path, [.. start, .. ImtaProcess.Imta(["train", "--out", "cut", .. run])]))
        {
            cut.WaitUntil(() => File.Exists(In("cut", "epochs.csv")));
            machines.Cut();
            var clock = Stopwatch.StartNew();
            int[] ranks = [PidOf("cut", 0), PidOf("cut", 1)];
            WaitForEnd(ranks);
            clock.Elapsed.Should().BeLessThan(TimeSpan.FromSeconds(40), "10 s of waiting, 5 s for MPI_Abort, and this machine may be busy");
            cut.Kill(); // Open MPI's mpirun waits for what it has started on the other machine
            foreach (int rank in (int[])[0, 1])
            {
                File.ReadAllText(LastWordsOf("cut", rank)).Should().MatchRegex(
                    $" rank {rank} of 2 on {(rank == 0 ? ".*" : machines.SecondName)} gave up after waiting 10 s for the other ranks "
                    + "at .*; cut/checkpoints/latest.pt is intact: resume with imta train --resume cut\n");
            }
        }

        machines.Mend();
        using (ImtaProcess again = ImtaProcess.StartCommand(Folder.Path,
            [.. start, .. ImtaProcess.Imta(["train", "--resume", "cut", .. patience])]))
        {
            ImtaProcess.Result result = again.End();
            result.Code.Should().Be(0, result.All);
        }

        Tables(In("cut")).Should().Equal(undisturbed.Tables(launcher), "two machines compute what one does");
    }

    // The table may hold what an earlier start did, so the ranks of this one have to be there too.
    private void WaitForEpoch(ImtaProcess process, string run, int start, int epoch) => process.WaitUntil(
        () => StartsOf(run) == start && Folder.Read<EpochRow>(run, "epochs.csv").Any(row => row.Epoch >= epoch));
}

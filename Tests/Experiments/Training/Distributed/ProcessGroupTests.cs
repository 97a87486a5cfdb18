using System.Diagnostics;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Tests.Experiments.Training.Distributed;

/// <summary>
/// The laws of ranks that share each batch, for ranks on threads and for those of an MPI launcher; and what is told of others that do not
/// come.
/// </summary>
public sealed class ProcessGroupTests
{
    public static TheoryData<string> Laws => [.. ProcessGroupLaw.All.Select(law => law.ToString())];

    [Theory]
    [MemberData(nameof(Laws))]
    public void On_threads(string name)
    {
        ProcessGroupLaw law = ProcessGroupLaw.All.Single(law => law.ToString() == name);

        ThreadGroup.Run(law.Ranks, law.Error).Should().HaveCount(law.Ranks).And.OnlyContain(error => error < 1e-10);
    }

    [Theory]
    [InlineData("Open MPI", 2)]
    [InlineData("Open MPI", 3)]
    [InlineData("MPICH", 2)]
    [InlineData("MPICH", 3)]
    public void In_processes_of_an_mpi_launcher(string mpi, int ranks)
    {
        using var folder = new TemporaryFolder();
        using ImtaProcess process = ImtaProcess.StartCommand(
            folder.Path, [.. Launcher.Need(mpi).Starting(ranks), .. ImtaProcess.Tests(RankProgram.Laws)]);

        ImtaProcess.Result result = process.End();

        result.Code.Should().Be(0, result.All);
        string[][] lines =
        [
            .. result.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.TrimEnd('\r').Split('\t')),
        ];
        lines.Select(line => line[0]).Should()
            .Equal([.. ProcessGroupLaw.All.Where(law => law.Ranks == ranks).Select(law => law.ToString())]);
        lines.Should()
            .OnlyContain(
                line => double.Parse(line[1], System.Globalization.CultureInfo.InvariantCulture) < 1e-10,
                "that is the largest error of all ranks");
    }

    [Theory]
    [InlineData("Open MPI v4.1.4, package: Debian OpenMPI, ident: 4.1.4", "OpenMpi")]
    [InlineData("MPICH Version:\t4.0.2\nMPICH Release date:\tThu Apr  7", "Mpich")]
    [InlineData("Intel(R) MPI Library 2021.9 for Linux* OS", "Mpich")]
    [InlineData("MVAPICH2 Version      :\t2.3.7", "Mpich")]
    [InlineData("FujitsuX", "Other")]
    public void Whose_library_it_is_it_says_itself(string version, string family)
        => MpiLibrary.FamilyOf(version).ToString().Should().Be(family);

    [Fact]
    public void Who_waits_longer_than_it_should_is_told_for_whom_and_how_to_go_on()
    {
        var clock = Stopwatch.StartNew();
        string[] met = ThreadGroup.Run(2, all => Waiting(all, seconds: 3), patience: 1);

        met[0].Should().MatchRegex("^rank 0 of 2 on [^ ]+ gave up after waiting 1 s for the other ranks at the exchange of status flags "
            + "\\(epoch 2, batch 7\\); go on by itself$");
        clock.Elapsed.Should().BeLessThan(TimeSpan.FromSeconds(30));
    }

    [Fact]
    public void Who_is_asked_to_stop_while_it_waits_says_so_and_ends()
    {
        using var stop = new CancellationTokenSource(TimeSpan.FromSeconds(0.5));
        var said = new List<string>();

        string[] met = ThreadGroup.Run(2, all => Waiting(all, seconds: 6), patience: 60, said.Add, stop.Token);

        said.Should().ContainSingle().Which.Should().MatchRegex("^rank 0 of 2 on [^ ]+ was asked to stop and has waited [0-9.]+ s for the "
            + "other ranks at the exchange of status flags \\(epoch 2, batch 7\\); go on by itself$");
        met[0].Should().MatchRegex(
            "^rank 0 of 2 on [^ ]+ stops without the other ranks, which did not reach the exchange of status flags "
                + "\\(epoch 2, batch 7\\)$");
    }

    [Theory]
    [
        InlineData(
            "0.1.0+abc", "0.1.0+def", "MPICH 4.0.2", "MPICH 4.0.2",
            "rank 1 of 2 on n1 runs imta 0.1.0+def, but rank 0 on n0 runs imta 0.1.0+abc; all ranks must use the same")
    ]
    [
        InlineData(
            "0.1.0", "0.1.0", "Open MPI 4.1.4", "Open MPI 5.0.3",
            "rank 1 of 2 on n1 uses Open MPI 5.0.3, but rank 0 on n0 uses Open MPI 4.1.4; all ranks must use the same")
    ]
    public void A_rank_with_another_program_or_library_is_named_in_all(
        string first, string second, string firstMpi, string secondMpi, string message)
    {
        RankIdentity[] own = [new("n0", 1, first, firstMpi, ""), new("n1", 2, second, secondMpi, "")];

        ThreadGroup.Run(
            2,
            all
                => FluentActions.Invoking(() => RankIdentity.AllGather(all, own[all.Shard.Rank])).Should()
                    .Throw<CollectiveFailureException>().Which.Message)
            .Should().Equal(message, message);
    }

    [Fact]
    public void Ranks_on_one_machine_are_counted_by_its_name()
    {
        RankIdentity[] identities = [.. new[] { "a", "b", "a", "b", "b" }.Select(host => new RankIdentity(host, 1, "", "", ""))];

        ThreadGroup.Run(5, all => new RankContext(all, null, identities)).Select(start => (start.LocalRank, start.LocalSize)).Should()
            .Equal((0, 2), (0, 3), (1, 2), (1, 3), (2, 3));
        var alone = new RankContext(ProcessGroup.SingleProcess, null, []);
        (alone.LocalRank, alone.LocalSize).Should().Be((0, 1));
    }

    private static string Waiting(ProcessGroup all, double seconds)
    {
        (all.Location, all.RecoveryHint) = ("epoch 2, batch 7", "go on by itself");
        if (!all.IsRankZero)
        {
            Thread.Sleep(TimeSpan.FromSeconds(seconds));
            return "";
        }

        return FluentActions.Invoking(() => all.AllReduceFlags(stop: false)).Should().Throw<RankLostException>().Which.Message;
    }
}

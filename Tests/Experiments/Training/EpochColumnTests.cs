using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training;
using Imta.MetaWeight.Experiments.Training.Checks;
using Imta.MetaWeight.Experiments.Training.Distributed;
using Imta.MetaWeight.Tests.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Tests.Experiments.Training;

/// <summary>Runs whose <c>epochs.csv</c> has a column more.</summary>
public sealed class EpochColumnTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void A_run_with_another_column_writes_it_last_goes_on_with_it_inside_an_epoch_and_is_reported(int ranks)
    {
        Train("plain", ranks, EpochColumn.Defaults).Should().Be(0);
        Train("whole", ranks, With(_ => { })).Should().Be(0);
        using var stop = new CancellationTokenSource();
        int halves = 0;

        Train("parts", ranks, With(_ => Count(ref halves, ranks, stop)), stop: stop.Token).Should().Be(StopSignal.ExitCode);
        File.ReadLines(_folder.In("parts", "epochs.csv")).Should().HaveCount(1 + 2, "the second epoch is not done");
        Train("parts", ranks, With(_ => { }), resumes: true).Should().Be(0);

        string[] plain = File.ReadAllLines(_folder.In("plain", "epochs.csv")), whole = File.ReadAllLines(_folder.In("whole", "epochs.csv"));
        whole.Select(line => line[..line.LastIndexOf(',')]).Should().Equal(plain);
        whole[0].Should().EndWith(",effective_share");
        whole[1..].Select(line => double.Parse(line.Split(',')[^1], System.Globalization.CultureInfo.InvariantCulture))
            .Should().OnlyContain(share => share > 0 && share < 1);
        RunFiles.Tables(_folder.In("parts")).Should().Equal(RunFiles.Tables(_folder.In("whole")));
        ImtaProcess.Result report = ImtaProcess.Run(_folder.Path, "report", "whole", "parts");
        report.Code.Should().Be(0, report.All);
    }

    [Fact]
    public void A_run_goes_on_with_its_own_columns_only_and_is_left_as_it_is()
    {
        using var stop = new CancellationTokenSource();
        int halves = 0;
        Train("run", 1, With(_ => Count(ref halves, 1, stop)), stop: stop.Token);
        string[] before = RunFiles.Tables(_folder.In("run"));

        Action resume = () => Train("run", 1, EpochColumn.Defaults, resumes: true);

        resume.Should().Throw<UsageException>().Which.Message.Should()
            .Contain("epochs.csv has the columns epoch,phase,").And.Contain("effective_share")
            .And.EndWith("resume the run with the program that started it").And.NotContain("\n");
        RunFiles.Tables(_folder.In("run")).Should().Equal(before);
    }

    /// <summary>
    /// The share of samples that would give weights of one size the same variance: (Σ w)² / (n Σ w²), below 1 where weights differ.
    /// </summary>
    private static IReadOnlyList<EpochColumn> With(Action<long> seen) => EpochColumn.DefaultsAnd(
    [
        new(
            "effective_share",
            "(Σ w)² / (n Σ w²)",
            at => at.Samples.Sum * at.Samples.Sum / (at.Samples.Count * at.Samples.SumOfSquares),
            half =>
            {
                seen(half.Weights.shape[0]);
                return half.Weights.pow(Held(2));
            }),
    ]);

    /// <summary>Asks to stop in the second epoch: one has at most 5 batches, and each rank two halves of them.</summary>
    private static void Count(ref int halves, int ranks, CancellationTokenSource stop)
    {
        if (Interlocked.Increment(ref halves) == 13 * ranks)
        {
            stop.Cancel();
        }
    }

    private int Train(string run, int ranks, IReadOnlyList<EpochColumn> columns, bool resumes = false, CancellationToken stop = default)
    {
        string[] set = [.. ImtaProcess.Tiny.Where(argument => argument.Contains('=')), "threads=1", $"processes={ranks}"];
        int Run(ProcessGroup all)
            => new RunStarter(new RankContext(all, null, []), new HashSet<CheckName>(), null, stop) { Columns = columns }.Run(resumes
            ? new ResumedRun(_folder.In(run), () => { })
            : new NewRun(() => SettingsLoader.Parse("", "the test", set.Select(SettingsOverride.Parse)), _folder.In(run), replace: false));
        return ranks == 1 ? Run(ProcessGroup.SingleProcess) : ThreadGroup.Run(ranks, Run, stop: stop)[0];
    }
}

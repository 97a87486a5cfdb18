using Imta.MetaWeight.Experiments.Platform;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Tests.Experiments.Reports;

/// <summary><c>imta report --watch</c> beside processes that train, here by their locks and tables.</summary>
public sealed class ReportWatchTests : IDisposable
{
    private readonly WrittenRuns _runs = new();

    [Fact]
    public void The_page_follows_a_run_to_its_end()
    {
        _runs.Unfinished("a");
        using IDisposable training = FolderLock.TryAcquire(_runs.In("a"))!;
        using ImtaProcess watch = Watch("a");
        watch.WaitUntil(() => Page().Contains("\"reloadSeconds\":10", StringComparison.Ordinal));
        _runs.Blocks("report.html")["anytime"].GetProperty("text").GetString().Should().Contain("at its end");
        Epochs().Should().Be(2);

        _runs.Unfinished("a", epochs: 3);
        watch.WaitUntil(() => Epochs() == 3);
        _runs.Finished("a");
        training.Dispose();
        ImtaProcess.Result result = watch.End();

        result.Code.Should().Be(0, result.All);
        string[] lines = result.Output.TrimEnd().Split('\n');
        lines[0].Should().EndWith(" report.html: 0 of 1 runs finished, 2 epochs done; Ctrl-C ends the watch");
        lines[^1].Should().Be("wrote the report to report.html: 1 of 1 runs finished, 2 epochs done");
        result.Error.Should().BeEmpty();
        _runs.Report(0, "a", "--out", "after.html");
        Page().Should().Be(File.ReadAllText(_runs.In("after.html")), "a page of ended runs is as without --watch");
    }

    [Fact]
    public void Ctrl_C_ends_the_watch_and_the_page_no_longer_reloads()
    {
        _runs.Unfinished("a");
        using IDisposable training = FolderLock.TryAcquire(_runs.In("a"))!;
        using ImtaProcess watch = Watch("a");
        watch.WaitUntil(() => Page().Contains("\"reloadSeconds\":10", StringComparison.Ordinal));

        watch.Interrupt();

        watch.End().Code.Should().Be(ImtaProcess.Interrupted);
        Page().Should().StartWith("<!DOCTYPE html>").And.NotContain("\"reloadSeconds\":");
        Directory.GetFiles(_runs.Path).Select(Path.GetFileName).Should().Equal("report.html");
    }

    [Fact]
    public void A_table_that_is_being_written_is_waited_for_and_one_that_stays_damaged_is_refused()
    {
        _runs.Unfinished("a");
        using IDisposable training = FolderLock.TryAcquire(_runs.In("a"))!;
        using ImtaProcess watch = Watch("a");
        watch.WaitUntil(() => Page().Length > 0);
        File.AppendAllText(_runs.In("a", "epochs.csv"), "3,1,1,0.");

        ImtaProcess.Result result = watch.End();

        result.Code.Should().Be(2, result.All);
        result.Error.TrimEnd().Split('\n').Should().ContainSingle().Which.Should().StartWith("imta: a/epochs.csv, line 8: ");
        Epochs().Should().Be(2, "the page stays");
    }

    [Fact]
    public void A_variant_shows_runs_under_way_until_one_has_finished()
    {
        _runs.Unfinished("s/runs/plain/seed-0", "plain");
        _runs.Unfinished("s/runs/plain/seed-1", "plain", seed: 1, epochs: 1);
        File.WriteAllText(_runs.In("s", "sweep.yaml"), "");
        WriteStates("waiting");
        using IDisposable sweep = FolderLock.TryAcquire(_runs.In("s"))!;
        using ImtaProcess watch = Watch("s");
        watch.WaitUntil(() => Page().Length > 0);
        _runs.Blocks("report.html")["runs"].GetProperty("rows").GetArrayLength().Should().Be(2);

        _runs.Finished("s/runs/plain/seed-0", "plain");
        WriteStates("done");
        watch.WaitUntil(() => _runs.Blocks("report.html")["runs"].GetProperty("rows").GetArrayLength() == 1);
        sweep.Dispose();

        watch.End().Output.Should().EndWith(": 1 of 2 runs finished, 2 epochs done\n");

        void WriteStates(string first) => CsvTable.Write(_runs.In("s", "runs.csv"), new[] { first, "waiting" }.Select((state, seed)
            => new SweepRunRow { Variant = "plain", Seed = seed, Folder = $"runs/plain/seed-{seed}", State = state, Message = null }));
    }

    public void Dispose() => _runs.Dispose();

    private ImtaProcess Watch(string folder) => ImtaProcess.Start(_runs.Path, "report", folder, "--watch");

    private string Page() => File.Exists(_runs.In("report.html")) ? File.ReadAllText(_runs.In("report.html")) : "";

    private int Epochs() => _runs.Blocks("report.html")["train-loss"].GetProperty("views")[0].GetProperty("series")[0]
        .GetProperty("points").GetArrayLength();
}

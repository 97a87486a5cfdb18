using System.Text;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary>Text files as Windows, git's autocrlf and spreadsheets leave them: <c>\r\n</c> and a byte order mark.</summary>
public sealed class WindowsTextTests : IDisposable
{
    private static readonly string[] Text = [".csv", ".yaml", ".json", ".txt"];
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_run_is_resumed_evaluated_calibrated_and_reported_as_before_and_written_with_line_feeds()
    {
        _folder.Run(0, ["train", "--out", "whole", .. ImtaProcess.Tiny, "--set", "run.checkpointEvery=1"]);
        string[] tables = RunFiles.Tables(_folder.In("whole"));
        _folder.Run(0, "calibrate", "whole", "--shares", "1,1", "--out", "plain.json");
        _folder.Run(0, "eval", "whole", "--out", "plain", "--policy", "plain.json");
        Convert(".");

        _folder.Run(0, "calibrate", "whole", "--shares", "1,1", "--out", "p.json").Error.Should().NotContainAny("imta", "warning");
        File.ReadAllText(_folder.In("p.json")).Should().Be(File.ReadAllText(_folder.In("plain.json")).ReplaceLineEndings("\n"));
        _folder.Run(0, "eval", "whole", "--out", "again", "--policy", "plain.json").Error.Should().NotContainAny("imta", "warning");
        RunFiles.Tables(_folder.In("again")).Should()
            .Equal(RunFiles.Tables(_folder.In("plain")).Select(table => table.ReplaceLineEndings("\n")));
        File.WriteAllText(_folder.In("points.csv"), "\uFEFFname,macs,accuracy\r\nOther,1000000,0.25\r\n");
        _folder.Run(0, "report", "whole", "--points", "points.csv").Error.Should().NotContainAny("imta", "warning");
        File.ReadAllText(_folder.In("report.html")).Should().Contain("Other");
        _folder.Run(0, "train", "whole/config.yaml", "--out", "second").Error.Should().NotContainAny("imta", "warning");

        File.Copy(_folder.In("whole", "checkpoints", "epoch-0001.pt"), _folder.In("whole", "checkpoints", "latest.pt"), overwrite: true);
        _folder.Run(0, "train", "--resume", "whole").Output.Should().Contain("resuming after epoch 1 of 2");
        RunFiles.Tables(_folder.In("whole")).Should().Equal(tables);
    }

    [Fact]
    public void A_sweep_goes_on_where_it_was()
    {
        File.WriteAllText(_folder.In("base.yaml"), "threads: 1\ndata: {trainLimit: 80, testLimit: 40}\n"
            + "model: {msdnet: {blocks: 2, channels: 4, growth: 2}}\ntrain: {batch: 16, epochs: 1}\nmeta: {enabled: false}\n");
        File.WriteAllText(_folder.In("s.yaml"), "config: base.yaml\nseeds: [0]\n");
        _folder.Run(0, "sweep", "s.yaml", "--out", "s", "--jobs", "1");
        string summary = File.ReadAllText(_folder.In("s", "summary.csv"));
        Convert(".");

        _folder.Run(0, "sweep", "s.yaml", "--out", "s", "--jobs", "1");
        _folder.Run(0, "report", "s").Error.Should().NotContainAny("imta", "warning");

        File.ReadAllText(_folder.In("s", "summary.csv")).Should().Be(summary);
        _folder.Read<SweepRunRow>("s", "runs.csv").Should().ContainSingle(row => row.State == "done");
    }

    private void Convert(string below)
    {
        foreach (string file in Directory.EnumerateFiles(_folder.In(below), "*", SearchOption.AllDirectories)
            .Where(file => Text.Contains(Path.GetExtension(file))))
        {
            string converted = File.ReadAllText(file).ReplaceLineEndings("\r\n");
            File.WriteAllText(file, converted, new UTF8Encoding(encoderShouldEmitUTF8Identifier: true));
        }
    }
}

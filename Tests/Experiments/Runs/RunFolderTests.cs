using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Tests.Experiments.Runs;

/// <summary>What becomes of a folder whose run is replaced or resumed: what the run wrote goes, all else stays.</summary>
public sealed class RunFolderTests : IDisposable
{
    private static readonly string[] Own =
    [
        "checkpoints/latest.pt", "checkpoints/latest.pt.partial", "checkpoints/latest.pt.damaged", "checkpoints/previous.pt",
        "checkpoints/best.pt", "checkpoints/phase1.pt", "checkpoints/epoch-0003.pt", "checkpoints/epoch-0004.pt.partial",
        "weights/epoch-0002.csv", "weights/epoch-12345.csv", "weights/epoch-0003.csv.partial", "epochs.csv", "timing.csv", "cost.csv",
        "log.txt", "anytime.csv", "dynamic.csv", "exits.csv", "classes.csv", "correlation.csv", "predictions.csv",
        "logits.safetensors", "latency.csv", "tensorboard/events.out.tfevents.1.host.1.1",
        "policy.json", "policy.json.partial",
    ];

    private static readonly string[] Strange =
    [
        "notes.txt", "download.partial", "answers.csv", "checkpoints/mine.pt", "checkpoints/epoch-best.pt", "checkpoints/epoch-0003.pt.bak",
        "weights/epoch-0002.txt", "weights/a/epoch-0001.csv", "more/checkpoints/latest.pt", "latest.pt.eval/anytime.csv",
    ];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Replacing_a_run_removes_its_files_and_no_others()
    {
        Write(["environment.json", "config.yaml", .. Own, .. Strange]);
        File.WriteAllText(_folder.In("run", "environment.json"), RunFiles.Environment);

        RunFolder.Create(_folder.In("run"), replace: true, "new environment", "new configuration", out IDisposable held);
        held.Dispose();

        RunFiles.Names(_folder.In("run")).Should().BeEquivalentTo(["environment.json", "config.yaml", .. Strange]);
        File.ReadAllText(_folder.In("run", "environment.json")).Should().Be("new environment");
        File.ReadAllText(_folder.In("run", "config.yaml")).Should().Be("new configuration");
    }

    [Fact]
    public void Resuming_removes_what_is_unfinished_or_later_and_no_other_files()
    {
        Write([.. Own, .. Strange]);

        new RunFolder(_folder.In("run")).DiscardAfter(2);

        RunFiles.Names(_folder.In("run")).Should().BeEquivalentTo(
            [.. Own.Where(name => !name.EndsWith(".partial", StringComparison.Ordinal) && name != "weights/epoch-12345.csv"), .. Strange]);
    }

    private void Write(string[] names)
    {
        foreach (string file in names.Select(name => _folder.In("run", name)))
        {
            Directory.CreateDirectory(Path.GetDirectoryName(file)!);
            File.WriteAllText(file, "");
        }
    }
}

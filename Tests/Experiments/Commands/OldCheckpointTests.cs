using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary>Checkpoints of another format than this version writes: what it does not know is refused, and the run stays as it is.</summary>
public sealed class OldCheckpointTests(TrainedRun trained) : IClassFixture<TrainedRun>, IDisposable
{
    private const string Latest = "run/checkpoints/latest.pt";

    private readonly byte[] _checkpoint = File.ReadAllBytes(trained.In("run", "checkpoints", "latest.pt"));

    private string Checkpoint => trained.In("run", "checkpoints", "latest.pt");

    public void Dispose() => File.WriteAllBytes(Checkpoint, _checkpoint);

    [Fact]
    public void No_run_goes_on_from_the_format_of_an_earlier_version_which_is_evaluated_as_ever()
    {
        trained.Make("now", "eval", "run", "--out", "now");
        long format = Format();
        SetFormat(format - 1);
        Dictionary<string, byte[]> before = Files();

        string reason = $"{Latest} was written by an earlier version of imta, which can resume it";
        trained.Refusal("train", "--resume", "run").Should().StartWith($"imta: {reason}");
        trained.Refusal("train", "--extend", "run", "--add-epochs", "1", "--out", "longer").Should().StartWith($"imta: {reason}");
        trained.Run(0, "eval", "run", "--out", "old");

        ShouldBe(before);
        Directory.Exists(trained.In("longer")).Should().BeFalse();
        foreach (string table in Directory.GetFiles(trained.In("now"), "*.csv"))
        {
            File.ReadAllText(trained.In("old", Path.GetFileName(table))).Should().Be(File.ReadAllText(table));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(1000)]
    public void A_format_that_is_too_old_or_not_there_yet_is_refused(long unknown)
    {
        long format = Format();
        SetFormat(unknown);
        Dictionary<string, byte[]> before = Files();

        string reason = $"imta: {Latest} has checkpoint format {unknown}; this version reads formats 2 to {format}";
        trained.Refusal("train", "--resume", "run").Should().Be(reason);
        trained.Refusal("eval", "run", "--out", "refused").Should().Be(reason);

        ShouldBe(before);
        Directory.Exists(trained.In("refused")).Should().BeFalse();
    }

    private long Format()
    {
        using DisposeScope scope = NewDisposeScope();
        return TorchFileReader.Read(Checkpoint).Integer("format");
    }

    private void SetFormat(long format)
    {
        using DisposeScope scope = NewDisposeScope();
        TorchDictionary content = TorchFileReader.Read(Checkpoint);
        content["format"] = format;
        TorchFileWriter.Write(Checkpoint, content);
    }

    private void ShouldBe(Dictionary<string, byte[]> before)
    {
        Dictionary<string, byte[]> after = Files();
        after.Keys.Should().BeEquivalentTo(before.Keys);
        after.Should().OnlyContain(file => file.Value.AsEnumerable().SequenceEqual(before[file.Key]));
    }

    private Dictionary<string, byte[]> Files()
        => Directory.GetFiles(trained.In("run"), "*", SearchOption.AllDirectories).ToDictionary(file => file, File.ReadAllBytes);
}

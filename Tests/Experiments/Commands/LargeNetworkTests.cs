namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary>Configurations of networks that no machine can hold.</summary>
public sealed class LargeNetworkTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public LargeNetworkTests()
    {
        byte[] header = [.. "{\"weight\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 4]}}"u8];
        File.WriteAllBytes(_folder.In("one.safetensors"), [.. BitConverter.GetBytes((long)header.Length), .. header, .. new byte[4]]);
    }

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("cost")]
    [InlineData("train", "--out", "run")]
    [InlineData("train", "--out", "run", "--set", "phase2.epochs=1")]
    [InlineData("bench", "step")]
    [InlineData("bench", "infer")]
    [InlineData("eval", "one.safetensors", "--config", "large.yaml")]
    [InlineData("convert", "one.safetensors", "one.pt", "--config", "large.yaml")]
    public void They_are_refused_in_one_line_before_they_take_memory(params string[] command)
    {
        foreach (string name in (string[])["msdnet", "ranet"])
        {
            string[] settings = ["blocks=100", "channels=4096", "growth=4096"];
            File.WriteAllText(
                _folder.In("large.yaml"), $"model: {{backbone: {name}, {name}: {{{string.Join(", ", settings).Replace("=", ": ")}}}}}\n");
            string[] more = command.Contains("--config")
                ? []
                : ["--set", $"model.backbone={name}", .. settings.SelectMany(setting => new[] { "--set", $"model.{name}.{setting}" })];

            ImtaProcess.Result result = _folder.Run(2, [.. command, .. more]);

            result.Error.Should().MatchRegex(Refusal(name));
            Directory.EnumerateFileSystemEntries(_folder.Path).Select(Path.GetFileName).Should()
                .BeEquivalentTo("large.yaml", "one.safetensors");
        }
    }

    [Fact]
    public void A_sweep_says_it_of_its_runs()
    {
        File.WriteAllText(
            _folder.In("large.yaml"), "model: {msdnet: {blocks: 100, channels: 4096, growth: 4096}}\ndata: {trainLimit: 80}\n");
        File.WriteAllText(_folder.In("s.yaml"), "config: large.yaml\nseeds: [0]\n");

        _folder.Run(1, "sweep", "s.yaml", "--out", "s", "--jobs", "1");

        File.ReadAllText(_folder.In("s", "runs.csv")).Should().Contain("the parameters of model.msdnet alone need more than the ");
    }

    [Fact]
    public void Many_layers_of_few_channels_are_refused_too()
        => _folder.Run(
            2, "cost", "--set", "model.msdnet.blocks=100", "--set", "model.msdnet.base=100", "--set", "model.msdnet.step=100", "--set",
            "model.msdnet.channels=4096").Error.Should().MatchRegex(Refusal("msdnet"));

    [Fact]
    public void A_backbone_of_a_program_of_ones_own_is_counted_alike()
    {
        string[] host = ["dotnet", Path.Combine(AppContext.BaseDirectory, "extension-host.dll")];
        string[] large = ["--set", "model.backbone=toy", "--set", "model.toy.blocks=100", "--set", "model.toy.width=65536"];
        foreach (string[] command in (string[][])[["cost"], ["train", "--out", "run"]])
        {
            using ImtaProcess process = ImtaProcess.StartCommand(_folder.Path, [.. host, .. command, .. large]);
            ImtaProcess.Result result = process.End();

            result.Code.Should().Be(2, result.All);
            result.Error.Should().MatchRegex(Refusal("toy"));
        }
    }

    [Fact]
    public void So_is_a_weight_prediction_network()
        => _folder.Run(2, "train", "--out", "run", "--set", "meta.wpn.hidden=65536", "--set", "meta.wpn.layers=100").Error.Should()
            .MatchRegex("^imta: meta[.]wpn needs about 4[.]6 TiB of memory, but [0-9.]+ [KMGT]iB is available; lower meta[.]wpn[.]hidden "
                + "or meta[.]wpn[.]layers\n$");

    private static string Refusal(string backbone) => $"^imta: the parameters of model[.]{backbone} alone need more than the "
        + "[0-9.]+ [KMGT]iB of memory that is available: use a smaller network .*\n$";
}

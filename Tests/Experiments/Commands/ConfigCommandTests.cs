using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

public sealed class ConfigCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Every_key_has_its_line_with_default_range_and_meaning()
    {
        ImtaProcess.Result result = Config();

        result.Code.Should().Be(0, result.All);
        result.Error.Should().BeEmpty();
        string[] lines = [.. result.Output.Split('\n').Where(line => line.Length > 0)];
        lines[0].Should().MatchRegex("^key +default +range +meaning$");
        lines[1..].Select(line => line.Split(' ')[0]).Should().Equal(SettingsSchema.Keys.Select(key => key.Key));
        foreach ((string line, SettingsKey key) in lines[1..].Zip(SettingsSchema.Keys))
        {
            line[lines[0].IndexOf("default", StringComparison.Ordinal)..].Should().StartWith(key.Default + " ");
            line[lines[0].IndexOf("range", StringComparison.Ordinal)..].Should().StartWith(key.Range);
            line[lines[0].IndexOf("meaning", StringComparison.Ordinal)..].Should().Be(key.Meaning);
        }
    }

    [Fact]
    public void All_of_it_comes_as_JSON_and_as_a_schema()
    {
        Config("--json").Output.Should().Be(SettingsJson.Text(new Settings()).ReplaceLineEndings("\n") + "\n");
        Config("--schema").Output.Should().Be(SettingsJson.Schema().ReplaceLineEndings("\n") + "\n");

        ImtaProcess.Result both = Config("--schema", "--explain", "meta.q");
        both.Code.Should().Be(2);
        both.Error.Should().Be("imta: --explain, --json and --schema are mutually exclusive; give one of them\n");
    }

    [Fact]
    public void One_key_is_explained_in_full_and_what_it_shows_can_be_set()
    {
        ImtaProcess.Result result = Config("--explain", "data.trainLimit");

        result.Code.Should().Be(0, result.All);
        SettingsKey key = SettingsSchema.Find("data.trainLimit")!;
        result.Output.Should().Be($"""
            data.trainLimit
              meaning  {key.Meaning}
              type     integer
              default  null
              range    >= 1, or null
              set by   --set data.trainLimit=null, or in a configuration file:
                         data:
                           trainLimit: null

            """.ReplaceLineEndings("\n"));
        Config("--explain", "model.msdnet.growthFactors").Output.Should().Contain("--set 'model.msdnet.growthFactors=[1, 2, 4]'");
    }

    [Theory]
    [InlineData("meta.wpn", new[] { "meta.wpn.hidden", "meta.wpn.layers", "meta.wpn.output" })]
    [InlineData("model", new[]
    {
        "model.backbone", "model.initialisation", "model.precision", "model.msdnet.blocks", "model.msdnet.base", "model.msdnet.step",
        "model.msdnet.stepMode",
        "model.msdnet.channels", "model.msdnet.growth", "model.msdnet.growthFactors", "model.msdnet.bottleneck",
        "model.msdnet.bottleneckFactors", "model.msdnet.prune",
        "model.msdnet.reduction",
        "model.ranet.blocks", "model.ranet.blockStep", "model.ranet.step", "model.ranet.stepMode", "model.ranet.channels",
        "model.ranet.growth",
        "model.ranet.growthFactors", "model.ranet.bottleneckFactors", "model.ranet.scaleList", "model.ranet.compress",
        "model.ranet.reduction",
    })]
    public void A_group_shows_the_keys_below_it(string group, string[] members)
    {
        ImtaProcess.Result result = Config("--explain", group);

        result.Code.Should().Be(0, result.All);
        result.Output.Split('\n').Skip(1).Where(line => line.Length > 0).Select(line => line.Split(' ')[0]).Should().Equal(members);
    }

    [Theory]
    [InlineData("meta.epsilom", "did you mean meta.epsilon?")]
    [InlineData("meta.", "meta.q")]
    [InlineData("", "--explain is empty")]
    [InlineData("wpn\nhidden", "wpn\\u000ahidden")]
    public void An_unknown_key_is_refused_with_the_nearest(string key, string named) => ShouldBeRefused(Config("--explain", key), named);

    [Theory]
    [InlineData("meta.q")]
    [InlineData("--explain")]
    [InlineData("--all")]
    public void Stray_arguments_are_refused(string argument) => ShouldBeRefused(Config(argument), argument);

    private static void ShouldBeRefused(ImtaProcess.Result result, string named)
    {
        result.Code.Should().Be(2, result.All);
        result.Output.Should().BeEmpty();
        result.Error.Should().StartWith("imta: ").And.EndWith("\n").And.Contain(named);
        result.Error.TrimEnd('\n').Should().NotContain("\n");
    }

    private ImtaProcess.Result Config(params string[] arguments) => ImtaProcess.Run(_folder.Path, ["config", .. arguments]);
}

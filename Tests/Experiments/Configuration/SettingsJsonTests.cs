using System.Text.Json;
using System.Text.Json.Nodes;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Tests.Docs;
using Json.Schema;

namespace Imta.MetaWeight.Tests.Experiments.Configuration;

/// <summary>The configuration in JSON, and the schema by which editors check it.</summary>
public sealed class SettingsJsonTests
{
    private static readonly JsonSchema Schema = JsonSchema.FromText(SettingsJson.Schema());

    public static TheoryData<string> Configurations() => [.. Directory
        .GetFiles(Path.Combine(MarkdownPage.Repository(), "configs"), "*.yaml", SearchOption.AllDirectories)
        .Where(file => !file.Contains("sweeps", StringComparison.Ordinal))
        .Select(file => Path.GetRelativePath(MarkdownPage.Repository(), file)).Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Configurations))]
    public void A_configuration_in_JSON_is_the_same_configuration_and_the_schema_accepts_it(string file)
    {
        Settings settings = SettingsLoader.Load(Path.Combine(MarkdownPage.Repository(), file));

        string json = SettingsJson.Text(settings);

        SettingsLoader.Parse(json, "settings.json").Should().Be(settings);
        Accepts(JsonNode.Parse(json)!).Should().BeTrue();
    }

    [Theory]
    [InlineData("epsilom", "1", "meta")]
    [InlineData("q", "0", "meta")]
    [InlineData("q", "\"0.5\"", "meta")]
    [InlineData("centring", "\"column\"", "meta")]
    [InlineData("enabled", "1", "meta")]
    [InlineData("batch", "1", "train")]
    [InlineData("batch", "64.5", "train")]
    [InlineData("momentum", "1", "train")]
    [InlineData("milestones", "[0]", "train")]
    [InlineData("rate", "null", "train")]
    public void The_schema_refuses_what_a_run_would(string key, string value, string group)
    {
        JsonNode settings = JsonNode.Parse(SettingsJson.Text(new Settings { Name = "run" }))!;
        Accepts(settings).Should().BeTrue();

        settings[group]![key] = JsonNode.Parse(value);

        Accepts(settings).Should().BeFalse();
        FluentActions.Invoking(() => SettingsLoader.Parse(settings.ToJsonString(), "settings.json")).Should().Throw<UsageException>();
    }

    [Fact]
    public void The_schema_says_what_each_key_means()
    {
        JsonNode q = JsonNode.Parse(SettingsJson.Schema())!["properties"]!["meta"]!["properties"]!["q"]!;

        q["default"]!.GetValue<double>().Should().Be(0.75);
        q["description"]!.GetValue<string>().Should().StartWith(SettingsSchema.Find("meta.q")!.Meaning);
    }

    private static bool Accepts(JsonNode settings)
    {
        using JsonDocument document = JsonDocument.Parse(settings.ToJsonString());
        return Schema.Evaluate(document.RootElement).IsValid;
    }
}

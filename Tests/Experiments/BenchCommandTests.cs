using System.Text.Json;

namespace Imta.MetaWeight.Tests.Experiments;

/// <summary><c>imta bench meta-step</c> as a user runs it; what it measures is no test's business.</summary>
public sealed class BenchCommandTests : IDisposable
{
    private static readonly string[] Small = ["--batch", "4", "--set", "model.msdnet.blocks=2", "--set", "model.msdnet.channels=4", "--set", "model.msdnet.growth=2", "--set", "threads=1"];

    private readonly TemporaryFolder _folder = new();

    [Fact]
    public void Steps_are_measured_in_turns_with_another_program()
    {
        File.WriteAllText(_folder.In("other.sh"), """
            echo 'ready {"half_batch": 2, "classes": 100, "exits": 2, "threads": 1}'
            while read -r what; do
              echo "$what" >>asked.txt
              if [ "$what" = plain ]; then echo '{"what": "plain", "seconds": 2}'; else echo '{"what": "meta", "seconds": 8.5}'; fi
            done
            """);

        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, ["bench", "meta-step", .. Small, "--repeat", "2", "--gradient", "unrolled", "--against", "sh other.sh", "--json"]);

        result.Code.Should().Be(0, result.All);
        JsonElement report = JsonDocument.Parse(result.Output).RootElement;
        report.GetProperty("half_batch").GetInt32().Should().Be(2);
        Dictionary<string, JsonElement> series = report.GetProperty("series").EnumerateArray().ToDictionary(one => one.GetProperty("name").GetString()!);
        series.Keys.Should().Equal("plain", "unrolled", "other, plain", "other, meta");
        series["unrolled"].GetProperty("seconds").EnumerateArray().Should().HaveCount(2).And.OnlyContain(seconds => seconds.GetDouble() > 0);
        series["other, meta"].GetProperty("median").GetDouble().Should().Be(8.5);
        series["other, meta"].GetProperty("ratios").GetProperty("other, plain").GetDouble().Should().Be(4.25);
        File.ReadAllLines(_folder.In("asked.txt")).Should().Equal("plain", "meta", "plain", "meta", "plain", "meta");
    }

    [Fact]
    public void The_table_has_a_line_for_each_and_ratios_to_each()
    {
        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, ["bench", "meta-step", .. Small, "--repeat", "1"]);

        result.Code.Should().Be(0, result.All);
        string[] lines = result.Output.TrimEnd().Split('\n');
        lines[0].Should().StartWith("benchmark: half batch 2, 1 threads");
        lines[1].Should().MatchRegex("^ +median +min +max +/ plain +/ unrolled$");
        lines[2].Should().StartWith("plain").And.Contain(" 1.00 ");
    }

    [Theory]
    [InlineData("bench", "meta-step", "--repeat", "0")]
    [InlineData("bench", "meta-step", "--batch", "1")]
    [InlineData("bench", "meta-step", "--gradient", "unrolled,magic")]
    [InlineData("bench", "meta-step", "--batch", "5")]
    [InlineData("bench", "meta-step", "--against", "false")]
    [InlineData("bench", "meta-step", "--against", "echo ready")]
    [InlineData("bench", "meta-step", "--against", "echo 'ready {\"half_batch\": 8, \"classes\": 100, \"exits\": 5, \"threads\": 2}'")] // here it is 64
    [InlineData("bench", "meta-step", "missing.yaml")]
    public void Wrong_input_is_one_line(params string[] arguments)
    {
        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, arguments);

        result.Code.Should().Be(2, result.All);
        result.Error.TrimEnd().Split('\n').Should().ContainSingle().Which.Should().StartWith("imta: ");
    }

    public void Dispose() => _folder.Dispose();
}

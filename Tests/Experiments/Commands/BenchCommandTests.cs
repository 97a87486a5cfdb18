using System.Text.Json;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Tests.Experiments.Data;
using Imta.MetaWeight.Tests.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary><c>imta bench</c> as a user runs it; how fast things are is no test's business.</summary>
public sealed class BenchCommandTests : IDisposable
{
    private static readonly string[] Small =
    [
        "--set", "train.batch=4", "--set", "model.msdnet.blocks=2", "--set", "model.msdnet.channels=4", "--set", "model.msdnet.growth=2",
        "--set", "threads=1",
    ];

    private readonly TemporaryFolder _folder = new();

    [Fact]
    public void Meta_GF_has_no_single_steps()
    {
        ImtaProcess.Result result = ImtaProcess.Run(
            _folder.Path, "bench", "step", "--set", "modifiers.metaGf.enabled=true", "--set", "meta.enabled=false");

        result.Code.Should().Be(2, result.All);
        result.Error.Should().StartWith("imta: single steps are measured, but modifiers.metaGf").And.EndWith("=false\n");
    }

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

        ImtaProcess.Result result = ImtaProcess.Run(
            _folder.Path,
            [
                "bench", "meta-step", .. Small, "--repeat", "2", "--gradient", "unrolled,unrolled", "--no-memory", "--against",
                "sh other.sh", "--json"
            ]);

        result.Code.Should().Be(0, result.All);
        JsonElement report = JsonDocument.Parse(result.Output).RootElement;
        report.GetProperty("half_batch").GetInt32().Should().Be(2);
        Dictionary<string, JsonElement> series = report.GetProperty("series").EnumerateArray()
            .ToDictionary(one => one.GetProperty("name").GetString()!);
        series.Keys.Should().Equal("plain", "plain, autograd", "unrolled", "other, plain", "other, meta");
        series["unrolled"].GetProperty("seconds").EnumerateArray().Should()
            .HaveCount(2).And.OnlyContain(seconds => seconds.GetDouble() > 0);
        series["other, meta"].GetProperty("median").GetDouble().Should().Be(8.5);
        series["other, meta"].GetProperty("ratios").GetProperty("other, plain").GetDouble().Should().Be(4.25);
        Shares(series["plain"]).Should().Equal("forward", "backward", "update", "other");
        Shares(series["unrolled"]).Should()
            .BeEquivalentTo("forward", "weights", "backward", "lookahead", "meta", "second order", "update", "other");
        series["unrolled"].GetProperty("phases").EnumerateObject().Sum(share => share.Value.GetDouble()).Should().BeApproximately(1, 1e-9);
        series["other, meta"].GetProperty("phases").ValueKind.Should().Be(JsonValueKind.Null);
        series["unrolled"].GetProperty("memory").ValueKind.Should().Be(JsonValueKind.Null);
        File.ReadAllLines(_folder.In("asked.txt")).Should().Equal("plain", "meta", "plain", "meta", "plain", "meta");
    }

    [Fact]
    public void Tables_have_a_line_for_each_kind_of_step()
    {
        string[] kinds = ["plain", "plain, autograd", "forward", "unrolled", "forward, low memory", "published"];

        string[] lines = Lines("meta-step", [.. Small, "--batch", "6", "--repeat", "1", "--published"]);

        lines[0].Should().StartWith("benchmark: half batch 3, 1 thread,");
        lines[1].Should().MatchRegex(
            "^ +median +min +max  / plain  / plain, autograd  / forward  / unrolled  / forward, low memory  / published$");
        Starts(lines[2..8]).Should().Equal(kinds);
        lines[2].Should().MatchRegex("^plain  +0[.][0-9]{4}  +0[.][0-9]{4}  +0[.][0-9]{4}  +1[.]00 ");
        lines[9].Should().StartWith("phases, in percent");
        lines[10].Should().MatchRegex("^ +forward +.*tangent.* +other$");
        Starts(lines[11..17]).Should().Equal(kinds);
        lines[18].Should().StartWith("peak resident memory of a fresh process");
        lines[19].Should().MatchRegex("^ +total +above +total / unrolled +above / unrolled$");
        Starts(lines[20..]).Should().Equal(kinds);
        lines[23].Should().MatchRegex("^unrolled +[0-9]+ +[0-9]+ +1[.]00 +1[.]00$");
    }

    [Fact]
    public void Memory_is_that_of_a_process_which_makes_steps_of_one_kind()
    {
        JsonElement one = Report("meta-step", [.. Small, "--only", "plain, autograd"]);

        one.GetProperty("baseline_mib").GetDouble().Should().BeGreaterThan(10);
        one.GetProperty("peak_mib").GetDouble().Should().BeGreaterThan(one.GetProperty("baseline_mib").GetDouble());
    }

    [Fact]
    public void Without_the_unrolled_step_memory_has_no_ratio_to_it()
    {
        JsonElement report = Report("meta-step", [.. Small, "--repeat", "1", "--gradient", "finiteDifference", "--json"]);

        JsonElement memory = report.GetProperty("series")[2].GetProperty("memory");
        memory.GetProperty("above_mib").GetDouble().Should().BePositive().And.BeLessThan(memory.GetProperty("peak_mib").GetDouble());
        memory.GetProperty("above_to_unrolled").ValueKind.Should().Be(JsonValueKind.Null);
    }

    [Fact]
    public void Combinations_of_gradients_are_measured_instead_of_learned_weights()
    {
        JsonElement report = Report("meta-step", [.. Small, "--repeat", "1", "--combinations", "--no-memory", "--json"]);

        JsonElement[] series = [.. report.GetProperty("series").EnumerateArray()];
        series.Select(one => one.GetProperty("name").GetString()).Should()
            .Equal("plain", "pcgrad", "cagrad", "nashMtl", "dwa", "uncertainty", "gradNorm", "lossEqual", "last", "pcgrad, autograd");
        Shares(series[0]).Should().Equal("forward", "backward", "update", "other");
        Shares(series[1]).Should().Equal("forward", "backward", "combination", "update", "other");
    }

    [Fact]
    public void One_kind_of_step_is_timed()
    {
        JsonElement report = Report("step", [.. Small, "--repeat", "2", "--gradient", "forward", "--json"]);

        report.GetProperty("step").GetString().Should().Be("forward");
        report.GetProperty("half_batch").GetInt32().Should().Be(2);
        report.GetProperty("seconds").EnumerateArray().Should().HaveCount(2).And.OnlyContain(seconds => seconds.GetDouble() > 0);
        Lines("step", [.. Small, "--repeat", "1"])[2].Should().MatchRegex("^plain +0[.][0-9]{4} ");
    }

    [Fact]
    public void Each_phase_of_a_step_is_timed()
    {
        JsonElement report = Report("step", [.. Small, "--profile", "--gradient", "forward", "--repeat", "2", "--json"]);

        double seconds = report.GetProperty("seconds").GetDouble();
        JsonElement[] phases = [.. report.GetProperty("phases").EnumerateArray()];
        phases.Select(phase => phase.GetProperty("name").GetString()).Should()
            .Contain(["forward", "backward", "lookahead", "meta", "tangent", "weights", "update"]).And.EndWith("other");
        phases.Sum(phase => phase.GetProperty("seconds").GetDouble()).Should().BeApproximately(seconds, 1e-9);
        phases.Should().OnlyContain(phase => phase.GetProperty("seconds").GetDouble() > 0);
    }

    [Fact]
    public void The_table_of_phases_ends_with_what_lies_in_none()
    {
        string[] lines = Lines("step", [.. Small, "--profile", "--repeat", "1"]);

        lines[0].Should().MatchRegex("^benchmark: half batch 2, .*; one half batch, plain: [0-9.]+ ms$");
        lines[1].Should().MatchRegex("^phase +ms +percent$");
        lines[2].Should().MatchRegex("^forward +[0-9.]+ +[0-9.]+$");
        lines[^1].Should().MatchRegex("^other +[0-9.]+ +[0-9.]+$");
    }

    [Fact]
    public void Several_processes_are_measured_beside_one_and_hand_over_all_gradients()
    {
        Launcher.NeedAny();
        JsonElement report = Report("scale", [.. Small, "--set", "train.batch=8", "--repeat", "2", "--json"]);

        JsonElement[] steps = [.. report.GetProperty("steps").EnumerateArray()];
        steps.Select(step => step.GetProperty("name").GetString()).Should().Equal("plain", "forward");
        steps.Should()
            .OnlyContain(
                step
                    => step.GetProperty("one_process").GetArrayLength() == 2 && step.GetProperty("several_processes").GetArrayLength() == 2
                        && step.GetProperty("throughput").GetDouble() > 0);
        long[] bytes = [.. steps.Select(step => step.GetProperty("bytes_summed").GetInt64())];
        bytes[0].Should().BePositive();
        bytes[1].Should().BeGreaterThan(2 * bytes[0], "both parts update the network, and the weight-prediction network too");
        report.GetProperty("exchange").EnumerateArray().Should().HaveCount(40).And.OnlyContain(seconds => seconds.GetDouble() > 0);
        string[] lines = Lines("scale", [.. Small, "--set", "train.batch=8", "--repeat", "1"]);
        lines[^1].Should().MatchRegex(@"^an all-reduce of 16 MiB: [0-9]+\.[0-9]+ ms$");
        lines[1].Should().MatchRegex("^ +1 process x 2 threads +2 processes x 1 thread +throughput +MiB / step$");
    }

    [Fact]
    public void Augmented_images_are_counted_beside_those_that_a_step_consumes()
    {
        JsonElement report = Report("data", [.. Small, "--set", "train.batch=200", "--repeat", "1", "--json"]);

        report.GetProperty("batch").GetInt32().Should().Be(200);
        report.GetProperty("ratio").GetDouble().Should()
            .BeApproximately(
                report.GetProperty("augmented_per_second").GetDouble() / report.GetProperty("consumed_per_second").GetDouble(), 1e-6);
        using var cifar = new DataCifarFolder(CifarFormat.Cifar10);
        string[] lines = Lines(
            "data",
            [
                .. Small, "--set", "train.batch=20", "--set", "data.dataset=cifar10", "--set", "data.validation=10", "--data", cifar.Root,
                "--repeat", "1"
            ]);
        lines[2..].Should().SatisfyRespectively(
            line => line.Should().MatchRegex("^augmented +[0-9]+$"),
            line => line.Should().MatchRegex("^consumed by the plain step +[0-9]+$"),
            line => line.Should().MatchRegex("^ratio +[0-9]+[.][0-9]$"));
    }

    [Fact]
    public void Leaving_early_is_measured_beside_what_multiply_adds_promise()
    {
        JsonElement report = Report("infer", [.. Small, "--set", "model.msdnet.blocks=5", "--batch", "20", "--repeat", "1", "--json"]);

        JsonElement execution = report.GetProperty("execution"), sweep = report.GetProperty("sweep");
        execution.GetProperty("folded_over_plain").GetDouble().Should().BePositive();
        JsonElement[] patterns = [.. execution.GetProperty("patterns").EnumerateArray()];
        patterns.Select(
            pattern => string.Join(' ', pattern.GetProperty("shares").EnumerateArray().Select(share => Math.Round(share.GetDouble(), 2))))
            .Should().Equal("0.25 0.25 0 0 0.5", "0.2 0.2 0.2 0.2 0.2", "0.2 0.2 0.2 0.2 0.2");
        foreach (JsonElement pattern in patterns)
        {
            double promised = pattern.GetProperty("promised_speed_up").GetDouble();
            promised.Should().BeGreaterThan(1);
            pattern.GetProperty("of_promise").GetDouble().Should().BeApproximately(
                pattern.GetProperty("speed_up").GetDouble() / promised, 1e-9);
        }

        sweep.GetProperty("points").GetInt32().Should().Be(39);
        sweep.GetProperty("tensor_loop_ratio").GetDouble().Should().BeGreaterThan(1);
        Lines("infer", [.. Small, "--batch", "4", "--repeat", "1"]).Should()
            .Contain(line => line.StartsWith("equal shares at each exit", StringComparison.Ordinal))
            .And.Contain(line => line.StartsWith("sweep of 39 budgets", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("bench", "infer", "--repeat", "0")]
    [InlineData("bench", "infer", "--batch", "0")]
    [InlineData("bench", "infer", "missing.yaml")]
    [InlineData("bench", "meta-step", "--repeat", "0")]
    [InlineData("bench", "meta-step", "--batch", "1")]
    [InlineData("bench", "meta-step", "--gradient", "unrolled,magic")]
    [InlineData("bench", "meta-step", "--batch", "5")]
    [InlineData("bench", "meta-step", "--against", "false")]
    [InlineData("bench", "meta-step", "--against", "echo ready")]
    // here it is 64
    [InlineData("bench", "meta-step", "--against", "echo 'ready {\"half_batch\": 8, \"classes\": 100, \"exits\": 5, \"threads\": 2}'")]
    [InlineData("bench", "meta-step", "missing.yaml")]
    [InlineData("bench", "meta-step", "--only", "magic")]
    [InlineData("bench", "meta-step", "--fast")]
    [InlineData("bench", "step", "--repeat", "0")]
    [InlineData("bench", "step", "--gradient", "magic")]
    [InlineData("bench", "step", "--set", "train.batch=5")]
    [InlineData("bench", "step", "--profil")]
    [InlineData("bench", "data", "--repeat", "-1")]
    [InlineData("bench", "data", "--data", "missing")]
    [InlineData("bench", "data", "--set", "data.dataset=imagenet")]
    [InlineData("bench", "scale", "--processes", "1")]
    [InlineData("bench", "data", "missing.yaml")]
    public void Wrong_input_is_one_line(params string[] arguments)
    {
        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, arguments);

        result.Code.Should().Be(2, result.All);
        result.Error.TrimEnd().Split('\n').Should().ContainSingle().Which.Should().StartWith("imta: ");
    }

    public void Dispose() => _folder.Dispose();

    private static IEnumerable<string> Shares(JsonElement one) => one.GetProperty("phases").EnumerateObject().Select(share => share.Name);

    private static IEnumerable<string> Starts(string[] lines) => lines.Select(line => line.Split("  ")[0]);

    private JsonElement Report(string verb, string[] arguments) => JsonDocument.Parse(Output(verb, arguments)).RootElement;

    private string[] Lines(string verb, string[] arguments) => Output(verb, arguments).TrimEnd().Split('\n');

    private string Output(string verb, string[] arguments)
    {
        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, ["bench", verb, .. arguments]);
        result.Code.Should().Be(0, result.All);
        return result.Output;
    }
}

using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary><c>imta calibrate</c> for a risk or the best accuracy, as a user runs it; budgets are in InferCommandTests.</summary>
public sealed class CalibrateCommandTests(TrainedRun trained) : IClassFixture<TrainedRun>
{
    [Theory]
    [InlineData("crc", "0.4", "the accuracy lost compared with the last exit is at most 0.4 in expectation over calibration sets")]
    [InlineData("ucb", "0.6", "with probability 0.8 over calibration sets, the accuracy lost compared with the last exit is at most 0.6",
        "--delta", "0.2")]
    [InlineData("ltt", "0.7", "with probability 0.8 over calibration sets, the share of answers that differ from the last exit's is at "
        + "most 0.7", "--delta", "0.2", "--method", "ltt", "--loss", "consistency")]
    [InlineData("crc", "0.5", "the increase in the Brier score compared with the last exit is at most 0.5 in expectation",
        "--method", "crc", "--loss", "brier-gap")]
    public void A_risk_is_bounded_by_one_threshold_and_the_file_says_how(string method, string risk, string claim, params string[] more)
    {
        string output = trained.Run(0, ["calibrate", "run", "--risk", risk, "--out", "risk.json", "--force", .. more]).Output;

        output.Split('\n').Should().ContainSingle(line => line.StartsWith("guarantee: ", StringComparison.Ordinal)).Which.Should()
            .Contain(claim).And.Contain("those held out, which are balanced over classes").And.Contain($"({method.ToUpperInvariant()}: ");
        JsonElement policy = Policy("risk.json"), guarantee = policy.GetProperty("guarantee");
        policy.TryGetProperty("budget", out _).Should().BeFalse();
        guarantee.GetProperty("method").GetString().Should().Be(method);
        double epsilon = guarantee.GetProperty("epsilon").GetDouble(), threshold = guarantee.GetProperty("threshold").GetDouble();
        guarantee.GetProperty("bound").GetDouble().Should().BeInRange(0, epsilon);
        guarantee.GetProperty("empirical_risk").GetDouble().Should().BeLessThan(epsilon);
        guarantee.GetProperty("samples").GetInt32().Should().Be(policy.GetProperty("validation").GetProperty("samples").GetInt32());
        policy.GetProperty("thresholds").EnumerateArray().SkipLast(1).Select(one => one.GetSingle()).Should()
            .OnlyContain(one => one > threshold && one < threshold + 1e-6);
    }

    [Fact]
    public void The_calibration_is_repeated_on_samples_of_the_test_images()
    {
        string[] risk = ["calibrate", "run", "--risk", "0.6", "--delta", "0.2", "--simulate", "200", "--out", "risk.json", "--force"];
        string[] lines = trained.Run(0, risk).Output.Split('\n');

        string simulated = lines.Single(line => line.StartsWith("simulated with ", StringComparison.Ordinal));
        Match found = Regex.Match(simulated, "with 200 calibration sets of ([0-9]+) images drawn from the ([0-9]+) test images: "
            + "mean risk on all test images (-?0[.][0-9]{4}), above 0.6 for ([0-9.]+) % of the sets \\(guaranteed: at most 20 %\\); "
            + "([0-9.]+) % leave early, with ([0-9.]+) % of the multiply-adds");
        found.Success.Should().BeTrue(simulated);
        int.Parse(found.Groups[1].Value).Should().Be(Policy("risk.json").GetProperty("guarantee").GetProperty("samples").GetInt32());
        int.Parse(found.Groups[2].Value).Should().Be(trained.Predictions("test", "run", "predictions.csv").Length);
        double.Parse(found.Groups[3].Value).Should().BeLessThan(0.6);
        double.Parse(found.Groups[5].Value).Should().BePositive();
        double.Parse(found.Groups[6].Value).Should().BeInRange(1, 99.9);
        trained.Run(0, risk).Output.Split('\n').Should().Contain(simulated, "the samples follow from the run's seed");
    }

    /// <summary>The risk of the run's own predictions, as the policy lets them leave.</summary>
    [Fact]
    public void The_policy_is_taken_by_eval_and_infer_and_eval_says_the_risk_on_the_test_images()
    {
        trained.Run(0, "calibrate", "run", "--risk", "0.5", "--loss", "consistency", "--out", "crc.json", "--force");
        float threshold = Policy("crc.json").GetProperty("thresholds")[0].GetSingle();

        string output = trained.Run(0, "eval", "run", "--policy", "crc.json", "--out", "by-risk").Output;
        trained.Run(0, "infer", "run", "--policy", "crc.json", "--out", "by-risk.csv");

        PredictionRow[][] test = trained.Predictions("test", "run", "predictions.csv");
        PredictionRow[] early = [.. test.Select(
            image => image.First(answer => answer.Exit == TrainedRun.Exits || answer.Confidence >= threshold))];
        double risk = early.Zip(test).Average(pair => pair.First.Prediction == pair.Second[^1].Prediction ? 0.0 : 1);
        early.Should().Contain(answer => answer.Exit < TrainedRun.Exits);
        output.Should().Contain(FormattableString.Invariant($"; risk on the test images: {risk:0.0000}\n"));
        trained.Read<InferenceRow>("by-risk.csv").Select(row => row.Exit).Should().Equal(early.Select(row => row.Exit));
    }

    [Fact]
    public void Where_nothing_can_be_certified_no_image_leaves_early()
    {
        trained.Run(0, "calibrate", "run", "--risk", "0.01", "--delta", "0.05", "--out", "safe.json").Output.Should()
            .Contain("no threshold was certified, so no image leaves early");

        JsonElement policy = Policy("safe.json");
        policy.GetProperty("thresholds").EnumerateArray().SkipLast(1).Should().OnlyContain(one => one.ValueKind == JsonValueKind.Null);
        policy.GetProperty("guarantee").GetProperty("threshold").ValueKind.Should().Be(JsonValueKind.Null);
        trained.Run(0, "infer", "run", "--policy", "safe.json", "--out", "safe.csv");
        trained.Read<InferenceRow>("safe.csv").Should().OnlyContain(row => row.Exit == TrainedRun.Exits);
    }

    [Fact]
    public void A_guarantee_for_another_checkpoint_is_not_stated()
    {
        trained.Run(0, "calibrate", "run", "--risk", "0.5", "--out", "this.json", "--force");
        string hash = Policy("this.json").GetProperty("checkpoint_sha256").GetString()!;
        File.WriteAllText(trained.In("other.json"), File.ReadAllText(trained.In("this.json")).Replace(hash, new string('0', 64)));

        trained.Run(0, "eval", "run", "--policy", "other.json", "--out", "by-other").Output.Should()
            .Contain("no guarantee for the accuracy lost compared with the last exit: the policy was calibrated for a different ")
            .And.NotContain("is at most").And.Contain("; risk on the test images: ");
    }

    [Fact]
    public void Images_that_selected_the_checkpoint_guarantee_less_and_the_user_is_told()
    {
        trained.Run(0, "calibrate", "run/checkpoints/best.pt", "--risk", "0.5", "--out", "best.json").Error.Should()
            .Contain("warning: run/checkpoints/best.pt was selected on the validation images");
        trained.Run(0, "calibrate", "run", "--risk", "0.5", "--out", "latest.json").Error.Should().NotContain("selected");
    }

    [Fact]
    public void The_best_thresholds_are_within_the_budget_and_what_they_keep_on_other_images_is_told()
    {
        trained.Run(0, "calibrate", "run", "--macs", "2.4M", "--out", "shares.json");

        string output = trained.Run(0, "calibrate", "run", "--macs", "2.4M", "--maximise", "accuracy", "--out", "best-macs.json").Output;

        output.Should().MatchRegex(
            "cross-fitted on halves of them: [0-9.]+ % where fitted, [0-9.]+ % on the other half with [0-9,]+ multiply-adds; "
                + "geometric shares [0-9.]+ % and [0-9.]+ %\n");
        JsonElement best = Policy("best-macs.json"), search = best.GetProperty("budget").GetProperty("search");
        search.GetProperty("maximised").GetString().Should().Be("accuracy");
        search.GetProperty("fitted_accuracy").GetDouble().Should()
            .BeGreaterThanOrEqualTo(search.GetProperty("shares_fitted_accuracy").GetDouble());
        Validation(best, "accuracy").Should().BeGreaterThanOrEqualTo(Validation(Policy("shares.json"), "accuracy"));
        Validation(best, "mean_macs").Should().BeLessThanOrEqualTo(2.4e6 * (1 + 1e-6));
        trained.Run(0, "infer", "run", "--policy", "best-macs.json", "--out", "best-macs.csv");

        static double Validation(JsonElement policy, string key) => policy.GetProperty("validation").GetProperty(key).GetDouble();
    }

    [Theory]
    [InlineData("needs a budget", "--risk", "0.1", "--macs", "3M")]
    [InlineData("needs a budget", "--risk", "0.1", "--shares", "1,1,1")]
    [InlineData("--risk is 0; it must be above 0 and below 1", "--risk", "0")]
    [InlineData("--risk is 1; it must be above 0 and below 1", "--risk", "1")]
    [InlineData("--risk is NaN; it must be above 0", "--risk", "NaN")]
    [InlineData("--risk is little; it must be a number", "--risk", "little")]
    [InlineData("--delta is 1; it must be above 0 and below 1", "--risk", "0.1", "--delta", "1")]
    [InlineData("--delta is -0.1; it must be above 0", "--risk", "0.1", "--delta=-0.1")]
    [InlineData("--delta needs --risk", "--macs", "3M", "--delta", "0.1")]
    [InlineData("--loss needs --risk", "--loss", "gap")]
    [InlineData("--method needs --risk", "--shares", "1,1,1", "--method", "crc")]
    [InlineData("--loss is none; it must be gap or consistency or brier-gap or brier-consistency", "--risk", "0.1", "--loss", "none")]
    [InlineData("--method is best; it must be crc or ucb or ltt", "--risk", "0.1", "--method", "best")]
    [InlineData("drop --delta, or use --method ucb or ltt", "--risk", "0.1", "--delta", "0.1", "--method", "crc")]
    [InlineData("--method ltt bounds the risk with probability 1 - D and needs --delta D", "--risk", "0.1", "--method", "ltt")]
    [InlineData("--simulate needs --risk", "--macs", "3M", "--simulate", "10")]
    [InlineData("--simulate is 0; it must be an integer from 1", "--risk", "0.1", "--simulate", "0")]
    [InlineData("--maximise is speed; it must be accuracy", "--macs", "3M", "--maximise", "speed")]
    [InlineData("--maximise needs --macs", "--shares", "1,1,1", "--maximise", "accuracy")]
    [InlineData("--maximise needs --macs", "--risk", "0.1", "--maximise", "accuracy")]
    public void A_wrong_combination_is_one_line(string named, params string[] arguments)
        => trained.Refusal(["calibrate", "run", .. arguments]).Should().Contain(named);

    [Fact]
    public void A_wrong_guarantee_in_a_file_is_one_line()
    {
        trained.Make("good.json", "calibrate", "run", "--risk", "0.5", "--out", "good.json");

        Refused(guarantee => guarantee["risk"] = "luck").Should().Contain("guarantee.risk is luck; expected gap or consistency or brier");
        Refused(guarantee => guarantee["method"] = "luck").Should().Contain("guarantee.method is luck; expected crc or ucb or ltt");
        Refused(guarantee => guarantee["epsilon"] = "low").Should().Contain("guarantee.epsilon is invalid; expected risk, epsilon, delta");

        string Refused(Action<JsonObject> change)
        {
            JsonNode policy = JsonNode.Parse(File.ReadAllText(trained.In("good.json")))!;
            change(policy["guarantee"]!.AsObject());
            File.WriteAllText(trained.In("bad.json"), policy.ToJsonString());
            return trained.Refusal("infer", "run", "--policy", "bad.json");
        }
    }

    private JsonElement Policy(string file) => JsonDocument.Parse(File.ReadAllText(trained.In(file))).RootElement;
}

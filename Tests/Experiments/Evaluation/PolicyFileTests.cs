using System.Text.Json.Nodes;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Tests.Allocation;

namespace Imta.MetaWeight.Tests.Experiments.Evaluation;

/// <summary>The text of a policy's file.</summary>
public sealed class PolicyFileTests
{
    /// <summary>As files were written before there were kinds.</summary>
    private const string Thresholds = """
        {
          "format": 1,
          "criterion": "entropy",
          "thresholds": [
            0.12345679,
            null,
            0
          ],
          "budget": {
            "macs": null,
            "q": null,
            "shares": [
              0.5,
              0,
              0.5
            ]
          },
          "validation": {
            "samples": 3,
            "split_sha256": "ab",
            "shares": [
              0.3333333333333333,
              0,
              0.6666666666666666
            ],
            "accuracy": 1,
            "mean_macs": 12345678
          },
          "macs": [
            1,
            20,
            300
          ],
          "dataset": "cifar10",
          "normalisation": {
            "mean": [
              0.4914,
              0.4824,
              0.4467
            ],
            "std": [
              0.2471,
              0.2435,
              0.2616
            ]
          },
          "class_names": [
            "Zw\u00F6lf \u0022a\u0022",
            "b"
          ],
          "checkpoint_sha256": "cd"
        }

        """;

    [Fact]
    public void A_file_of_thresholds_is_read_and_written_to_the_same_bytes()
    {
        PolicyFile policy = PolicyFile.Parse(Thresholds);

        policy.Policy.Should().BeEquivalentTo(new ThresholdPolicy(ExitCriteria.Entropy, [0.12345679f, BudgetedInference.Never, 0]));
        policy.ClassNames[0].Should().Be("Zwölf \"a\"");
        Written(policy).Should().Be(Thresholds);
    }

    [Fact]
    public void A_guarantee_and_a_search_are_read_as_they_were_written()
    {
        PolicyFile policy = PolicyFile.Parse(Thresholds) with
        {
            Budget = new PolicyBudget(3e6, null, [0.5f, 0, 0.5f], new PolicySearch("accuracy", 0.9, 0.8, 3.1e6, 0.85, 0.84)),
            Guarantee = new PolicyGuarantee("brier-gap", 0.05, 0.1, "ucb", 0.75, 5000, 0.01, 0.049),
        };
        PolicyFile safe = policy with { Guarantee = new PolicyGuarantee("gap", 0.05, null, "crc", null, 5000, 0, 0) };

        foreach (PolicyFile written in (PolicyFile[])[policy, safe])
        {
            PolicyFile.Parse(Written(written)).Should().BeEquivalentTo(written);
        }

        policy.Guarantee!.Describe().Should().Be(
            "guarantee: with probability 0.9 over calibration sets, the increase in the Brier score compared with the last exit is at most "
                + "0.05, for images drawn like, and independently of, those held out, which are balanced over classes "
                + "(UCB: 0.0100 on 5,000 images, bound 0.0490)");
        safe.Guarantee!.Describe().Should().Be(
            "guarantee: the accuracy lost compared with the last exit is at most 0.05 in expectation over calibration sets, "
                + "for images exchangeable with those held out, which are balanced over classes "
                + "(CRC: no threshold was certified, so no image leaves early)");
    }

    [Theory]
    [InlineData(1e-5, "with probability 0.99999 over")]
    [InlineData(0.00016, "with probability 0.99984 over")]
    public void A_small_delta_is_not_rounded_away(double delta, string claim)
        => new PolicyGuarantee("gap", 0.05, delta, "ltt", 0.75, 5000, 0.01, 0.049).Describe().Should().Contain(claim);

    [Theory]
    [InlineData("epsilon", "-1")]
    [InlineData("samples", "0")]
    [InlineData("delta", "1.5")]
    [InlineData("delta", "null")]
    [InlineData("method", "\"crc\"")]
    public void An_impossible_guarantee_is_refused(string key, string value)
    {
        PolicyFile policy = PolicyFile.Parse(Thresholds) with
        {
            Guarantee = new PolicyGuarantee("gap", 0.05, 0.1, "ucb", 0.75, 5000, 0.01, 0.049),
        };
        JsonObject keys = JsonNode.Parse(Written(policy))!.AsObject();
        keys["guarantee"]![key] = JsonNode.Parse(value);

        Action read = () => PolicyFile.Parse(keys.ToJsonString());

        read.Should().Throw<FormatException>().WithMessage("guarantee is invalid: *");
    }

    [Fact]
    public void A_file_of_another_kind_names_it_and_may_be_without_a_budget()
    {
        ExitPolicies.Register("toy", PatiencePolicy.Read);
        var policy = new PolicyFile(new PatiencePolicy(3), null, null, [1], "generated", Normalisation.Generated, ["a"], "ab");
        JsonObject keys = JsonNode.Parse(Written(policy))!.AsObject();
        keys.Select(key => key.Key).Should().Equal(
            "format", "kind", "agreeing", "macs", "dataset", "normalisation", "class_names", "checkpoint_sha256");
        keys["kind"] = "toy";

        PolicyFile.Parse(keys.ToJsonString()).Should().BeEquivalentTo(policy);
        policy.TieNote().Should().BeNull();
    }

    [Fact]
    public void A_wrong_file_is_told_by_its_key_and_what_is_expected()
    {
        Problem(keys => keys["criterion"] = "luck").Should().Be("criterion is luck; expected confidence or entropy");
        Problem(keys => keys["kind"] = "luck").Should().StartWith("kind is luck; expected ").And.EndWith("thresholds");
        Problem(keys => keys["kind"] = 3).Should().StartWith("kind is invalid; expected ");
        Problem(keys => keys["format"] = 9).Should().Be("its format is 9; this version reads format 1");
        Problem(keys => keys["thresholds"] = null).Should().Be("thresholds is invalid; expected a number or null per exit");
        Problem(keys => keys["thresholds"]![1] = "high").Should().Be("thresholds[1] is invalid; expected a number or null per exit");
        Problem(keys => keys["thresholds"]![1] = 1e300).Should().Be("a threshold is NaN or infinite");
        Problem(keys => keys.Remove("thresholds")).Should().Be("the key thresholds is missing; expected a number or null per exit");
        Problem(keys => keys["unknown"] = 1).Should().Be("unknown key unknown");
        Problem(keys => keys["budget"]!["more"] = 1).Should().Be("budget.more is invalid; expected macs, q and shares");
        Problem(keys => keys["normalisation"]!.AsObject().Remove("std")).Should().Be("normalisation is invalid; expected mean and std");
        ProblemOf("{\n \"format\": 1").Should().Be("invalid JSON on line 2");
        ProblemOf("{ \"format\": 1, \"format\": 1 }").Should().Be("a key is defined twice");
        ProblemOf("").Should().Be("invalid JSON on line 1");
        ProblemOf("[]").Should().Be("it is not a JSON object");
        ProblemOf("null").Should().Be("it is not a JSON object");
    }

    private static string Problem(Action<JsonObject> change)
    {
        JsonObject keys = JsonNode.Parse(Thresholds)!.AsObject();
        change(keys);
        return ProblemOf(keys.ToJsonString());
    }

    private static string ProblemOf(string text)
    {
        Action parse = () => PolicyFile.Parse(text);
        return parse.Should().Throw<FormatException>().Which.Message;
    }

    private static string Written(PolicyFile policy)
    {
        using var folder = new TemporaryFolder();
        policy.Write(folder.In("policy.json"));
        return File.ReadAllText(folder.In("policy.json"));
    }
}

using System.Text.Json;
using System.Text.Json.Nodes;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Tests.Experiments.Data.Pictures;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary><c>imta calibrate</c> and <c>imta infer</c> as a user runs them.</summary>
public sealed class InferCommandTests(TrainedRun trained) : IClassFixture<TrainedRun>
{
    [Theory]
    [InlineData("2.4M")]
    [InlineData("3000K")]
    [InlineData("1000000000")]
    public void A_budget_of_multiply_adds_is_kept_on_the_validation_images(string macs)
    {
        trained.Run(0, "calibrate", "run", "--macs", macs, "--out", "budget.json", "--force").Output.Should()
            .Contain("validation images").And.EndWith("wrote the policy to budget.json\n");

        JsonElement policy = Policy("budget.json");
        double budget = policy.GetProperty("budget").GetProperty("macs").GetDouble();
        JsonElement validation = policy.GetProperty("validation");
        budget.Should().Be(macs switch { "2.4M" => 2.4e6, "3000K" => 3e6, _ => 1e9 });
        validation.GetProperty("mean_macs").GetDouble().Should().BePositive().And.BeLessThanOrEqualTo(budget);
        validation.GetProperty("shares").EnumerateArray().Sum(share => share.GetDouble()).Should().BeApproximately(1, 1e-9);
        policy.GetProperty("thresholds").EnumerateArray().Should().HaveCount(TrainedRun.Exits);
        policy.GetProperty("class_names").EnumerateArray().First().GetString().Should().Be("airplane");
        policy.GetProperty("macs").EnumerateArray().Select(count => count.GetInt64()).Should()
            .Equal(trained.Read<CostRow>("run", "cost.csv").Select(row => row.Macs));
    }

    [Theory]
    [InlineData("confidence")]
    [InlineData("entropy")]
    public void Images_divide_over_the_exits_as_was_asked(string criterion)
    {
        trained.Run(0, "calibrate", "run", "--shares", "50,20,30", "--criterion", criterion, "--force");

        JsonElement policy = Policy("run", "policy.json");
        policy.GetProperty("criterion").GetString().Should().Be(criterion);
        policy.GetProperty("budget").GetProperty("macs").ValueKind.Should().Be(JsonValueKind.Null);
        int images = policy.GetProperty("validation").GetProperty("samples").GetInt32();
        policy.GetProperty("validation").GetProperty("shares").EnumerateArray().Select(share => share.GetDouble() * images)
            .Should()
                .Equal(
                    [Math.Floor(0.5 * images), Math.Floor(0.2f * images), images - Math.Floor(0.5 * images) - Math.Floor(0.2f * images)],
                    (one, other) => Math.Abs(one - other) < 1e-6);
    }

    /// <summary>Really leaving early, one image at a time or in batches, beside the simulation by what every exit answers.</summary>
    [Theory]
    [InlineData("1", false)]
    [InlineData("7", true)]
    [InlineData("256", true)]
    public void Images_of_a_file_are_answered_as_the_simulation_says(string batch, bool file)
    {
        trained.Run(0, "calibrate", "run", "--shares", "1,1,1", "--out", "thirds.json", "--force");
        float?[] thresholds =
        [
            .. Policy("thirds.json").GetProperty("thresholds").EnumerateArray()
                .Select(value => value.ValueKind == JsonValueKind.Null ? (float?)null : value.GetSingle()),
        ];
        long[] macs = [.. trained.Read<CostRow>("run", "cost.csv").Select(row => row.Macs)];

        ImtaProcess.Result result = trained.Run(
            0,
            [
                "infer", "run", "--policy", "thirds.json", "--batch", batch, "--out", "answers.csv", "--force",
                .. file ? ["--data", trained.TestFile] : Array.Empty<string>()
            ]);

        result.Output.Should().Contain("40 images: ").And.EndWith("wrote the predictions to answers.csv\n");
        InferenceRow[] answers = trained.Read<InferenceRow>("answers.csv");
        PredictionRow[] simulated =
        [
            .. trained.Predictions("test", "run", "predictions.csv")
                .Select(
                    image => image.First(answer => answer.Exit == TrainedRun.Exits || answer.Confidence >= thresholds[answer.Exit - 1])),
        ];
        simulated.Select(answer => answer.Exit).Distinct().Should().HaveCountGreaterThan(1);
        answers.Select(row => (row.Sample, row.Class, row.Exit, row.Macs)).Should()
            .Equal(simulated.Select(row => (row.Sample, row.Prediction, row.Exit, macs[row.Exit - 1])));
        answers.Select(row => row.Confidence).Should()
            .Equal(simulated.Select(row => row.Confidence), (one, other) => Math.Abs(one - other) < 1e-5);
        answers.Should().OnlyContain(row => row.Name.Length > 2);
    }

    /// <summary>A network for small images sees the middle square of a picture.</summary>
    [Fact]
    public void Pictures_of_a_folder_are_answered_by_a_network_for_small_images()
    {
        trained.Run(0, "calibrate", "run", "--shares", "1,1,1", "--out", "thirds.json", "--force");
        foreach (string name in (string[])["landscape.jpg", "colour.png", "grey.jpg"])
        {
            Directory.CreateDirectory(trained.In("pictures", "below"));
            File.WriteAllBytes(trained.In("pictures", name == "grey.jpg" ? $"below/{name}" : name), GoldenPictures.Bytes(name));
        }

        trained.Run(0, "infer", "run", "--policy", "thirds.json", "--images", "pictures", "--out", "pictures.csv").Output.Should()
            .Contain("3 images: ").And.NotContain("accuracy");

        InferenceRow[] answers = trained.Read<InferenceRow>("pictures.csv");
        answers.Select(row => (row.Sample, row.File)).Should().Equal((0, "colour.png"), (1, "landscape.jpg"), (2, "below/grey.jpg"));
        answers.Should().OnlyContain(row => row.Name.Length > 2 && row.Confidence > 0 && row.Macs > 0);
        trained.Run(0, "infer", "run", "--policy", "thirds.json", "--images", "pictures/landscape.jpg", "--out", "one.csv");
        trained.Read<InferenceRow>("one.csv").Should().Equal(answers[1] with { Sample = 0 });
        trained.Refusal("infer", "run", "--policy", "thirds.json", "--images", "nowhere", "--force").Should()
            .Contain("there is no file or folder nowhere");
        trained.Refusal("infer", "run", "--policy", "thirds.json", "--images", "run", "--force").Should()
            .Contain("run contains no JPEG, PNG, WebP or BMP files");
        trained.Refusal("infer", "run", "--policy", "thirds.json", "--images", "pictures", "--data", trained.TestFile, "--force").Should()
            .Contain("give one of them");
        File.WriteAllText(trained.In("run", "fake.png"), "no PNG");
        trained.Run(2, "infer", "run", "--policy", "thirds.json", "--images", "run", "--force").Error.Should()
            .EndWith("imta: none of the images can be read\n");
        File.Delete(trained.In("run", "fake.png"));
    }

    [Fact]
    public void A_policy_of_another_checkpoint_is_taken_with_a_warning()
    {
        trained.Run(0, "calibrate", "run", "--shares", "1,1,1", "--out", "old.json");
        Change("old.json", "other.json", policy => policy["checkpoint_sha256"] = new string('0', 64));

        trained.Run(0, "infer", "run", "--policy", "other.json", "--force").Error.Should()
            .Contain("warning: other.json was calibrated for a different checkpoint than run/checkpoints/latest.pt");
    }

    [Theory]
    [InlineData("needs a budget")]
    [InlineData("needs a budget", "--macs", "3M", "--shares", "1,1,1")]
    [InlineData("--macs is fast", "--macs", "fast")]
    [InlineData("--macs is -3M", "--macs", "-3M")]
    [InlineData("--macs is 0", "--macs", "0")]
    [InlineData("it must be a number of multiply-adds", "--macs", "1E400")]
    [InlineData("--macs is 1E-07, less", "--macs", "0.0000001")]
    [InlineData("--macs is empty", "--macs", "")]
    [InlineData("less than a prediction at exit 1 costs", "--macs", "1000")]
    [InlineData("2 numbers, but the network has 3 exits", "--shares", "1,1")]
    [InlineData("--shares is 1,x,1", "--shares", "1,x,1")]
    [InlineData("--shares is 0,0,0", "--shares", "0,0,0")]
    [InlineData("--shares is 1,-1,1", "--shares", "1,-1,1")]
    [InlineData("confidence or entropy", "--macs", "3M", "--criterion", "luck")]
    [InlineData("cannot be written", "--macs", "3M", "--out", "no/such/folder/policy.json")]
    public void A_wrong_budget_is_one_line(string named, params string[] arguments)
        => trained.Refusal(["calibrate", "run", .. arguments]).Should().Contain(named);

    [Fact]
    public void A_wrong_policy_is_one_line()
    {
        trained.Run(0, "calibrate", "run", "--shares", "1,1,1", "--out", "good.json");

        Refused(policy => ((JsonArray)policy["thresholds"]!).RemoveAt(0)).Should().Contain("is for 2 exits, but the network has 3");
        Refused(policy => policy["dataset"] = "cifar100").Should().Contain("is for cifar100, but the network is for cifar10");
        Refused(policy => policy["thresholds"]![1] = "high").Should().Contain(
            "bad.json is not a readable policy (thresholds[1] is invalid; expected a number or null per exit); create one with imta "
                + "calibrate");
        Refused(policy => ((JsonArray)policy["class_names"]!).Clear()).Should().Contain("names 0 classes");
        Refused(policy => ((JsonArray)policy["macs"]!).Clear()).Should().Contain("has different multiply-adds than the network");
        Refused(policy => policy["normalisation"]!["std"]![1] = 0).Should().Contain("3 finite means and 3 positive standard deviations");
        Refused(policy => ((JsonArray)policy["class_names"]!)[0] = null).Should().Contain("a class without a name");
        trained.Refusal("infer", "run", "--policy", trained.TestFile).Should().Contain("not a readable policy (invalid JSON on line 1)");

        string Refused(Action<JsonNode> change)
        {
            Change("good.json", "bad.json", change);
            return trained.Refusal("infer", "run", "--policy", "bad.json");
        }
    }

    [Fact]
    public void Equal_scores_that_keep_the_exits_from_their_shares_are_told()
    {
        trained.Run(0, "calibrate", "run", "--shares", "50,20,30", "--out", "apart.json").Error.Should().NotContain("note: ");
        trained.Change("tied.pt", state =>
        {
            foreach (Tensor parameter in state.Where(entry => entry.Key.StartsWith("classifier.", StringComparison.Ordinal))
                .Select(entry => entry.Value))
            {
                _ = parameter.dtype == float32 ? parameter.zero_() : parameter; // all classes are equally likely
            }
        });

        trained.Run(0, "calibrate", "tied.pt", "--data", trained.Cifar.Root, "--shares", "50,20,30").Error.Should().EndWith(
            "note: many scores are equal, and their samples leave together: the exits take 100.0 0.0 0.0 % instead of 50.0 20.0 30.0 %\n");
    }

    [Fact]
    public void Wrong_images_are_one_line_and_leave_nothing()
    {
        trained.Run(0, "calibrate", "run", "--shares", "1,1,1", "--out", "policy.json");
        File.WriteAllBytes(trained.In("torn.bin"), new byte[3072]);
        string[] infer = ["infer", "run", "--policy", "policy.json", "--out", "nothing.csv"];

        trained.Refusal([.. infer, "--data", "torn.bin"]).Should().Contain("torn.bin").And.Contain("3073");
        trained.Refusal([.. infer, "--data", "/missing"]).Should()
            .StartWith("imta: /missing does not exist; expected a CIFAR-10 file or folder. ");
        trained.Refusal([.. infer, "--batch", "0"]).Should().Contain("--batch is 0");
        trained.Refusal("infer", "run", "--policy", "policy.json", "--out", "no/such/folder.csv").Should().Contain("cannot be written");
        trained.Refusal("infer", "run", "--policy", "policy.json", "--out", "run").Should().Contain("it is a folder");
        trained.Refusal("infer", "run").Should().Contain("--policy");
        File.Exists(trained.In("nothing.csv")).Should().BeFalse();
    }

    private JsonElement Policy(params string[] file) => JsonDocument.Parse(File.ReadAllText(trained.In(file))).RootElement;

    private void Change(string from, string to, Action<JsonNode> change)
    {
        JsonNode policy = JsonNode.Parse(File.ReadAllText(trained.In(from)))!;
        change(policy);
        File.WriteAllText(trained.In(to), policy.ToJsonString());
    }
}

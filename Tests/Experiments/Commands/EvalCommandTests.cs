using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Tests.Experiments.Data;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary><c>imta eval</c> as a user runs it.</summary>
public sealed class EvalCommandTests(TrainedRun trained) : IClassFixture<TrainedRun>
{
    private static readonly string[] Tables =
    [
        "anytime.csv", "dynamic.csv", "exits.csv", "classes.csv", "correlation.csv", "predictions.csv",
    ];

    [Fact]
    public void A_run_is_tested_to_the_very_tables_that_its_training_wrote()
    {
        trained.Run(0, "eval", "run", "--out", "again").Output.Should().Contain("top-1 %").And.EndWith("wrote the tables to again\n");

        Directory.GetFiles(trained.In("again")).Select(Path.GetFileName).Should().BeEquivalentTo(Tables);
        foreach (string table in Tables)
        {
            File.ReadAllText(trained.In("again", table)).Should().Be(File.ReadAllText(trained.In("run", table)), table);
        }
    }

    [Fact]
    public void A_checkpoints_tables_lie_beside_it_with_as_many_budgets_as_are_asked_for()
    {
        File.Copy(trained.In("run", "checkpoints", "latest.pt"), trained.In("kept.pt"));

        trained.Run(0, "eval", "kept.pt", "--points", "40", "--data", trained.Cifar.Folder);

        DynamicRow[] rows = trained.Read<DynamicRow>("kept.pt.eval", "dynamic.csv");
        rows.Select(row => (row.P, row.Exit)).Should()
            .Equal(from p in Enumerable.Range(1, 40) from exit in Enumerable.Range(1, TrainedRun.Exits) select (p, exit));
        rows.Where(row => row.P < 40).Should().Equal(trained.Read<DynamicRow>("run", "dynamic.csv"));
    }

    [Fact]
    public void Anytime_accuracy_and_costs_are_those_of_the_predictions_and_of_imta_cost()
    {
        PredictionRow[][] test = trained.Predictions("test", "run", "predictions.csv");
        CostRow[] costs = trained.Read<CostRow>("run", "cost.csv");

        AnytimeRow[] rows = trained.Read<AnytimeRow>("run", "anytime.csv");

        test.Should().HaveCount(TrainedRun.TestImages);
        rows.Select(row => row.Top1).Should()
            .Equal(
                Enumerable.Range(0, TrainedRun.Exits).Select(k => test.Average(image => image[k].Prediction == image[k].Label ? 1.0 : 0)));
        rows.Select(row => (row.Macs, row.Parameters)).Should().Equal(costs.Select(row => (row.Macs, row.Parameters)));
    }

    /// <summary>The published procedure in plain loops, from what <c>predictions.csv</c> says.</summary>
    [Fact]
    public void Budgets_are_what_follows_from_the_predictions()
    {
        PredictionRow[][] validation = trained.Predictions("validation", "run", "predictions.csv"), test = trained.Predictions(
            "test", "run", "predictions.csv");
        long[] macs = [.. trained.Read<CostRow>("run", "cost.csv").Select(row => row.Macs)];

        var budgets = trained.Read<DynamicRow>("run", "dynamic.csv").GroupBy(row => row.P).ToArray();
        budgets.Should().HaveCount(39);
        foreach (DynamicRow[] rows in budgets.Select(rows => rows.ToArray()))
        {
            float[] thresholds = Search(validation, rows[0].P / 20.0);
            rows.Select(row => row.Threshold).Should()
                .Equal(thresholds.Select(threshold => threshold > 1 ? (float?)null : Math.Max(0, threshold)));
            rows[0].Q.Should().Be(rows[0].P / 20.0);
            (PredictionRow[][] Set, double Accuracy, double Cost, Func<DynamicRow, double> Share)[] sets =
            [
                (validation, rows[0].ValidationAccuracy, rows[0].ValidationMacs, row => row.ValidationShare),
                (test, rows[0].TestAccuracy, rows[0].TestMacs, row => row.TestShare),
            ];
            foreach ((PredictionRow[][] set, double accuracy, double cost, Func<DynamicRow, double> share) in sets)
            {
                PredictionRow[] answers =
                [
                    .. set.Select(
                        image
                            => image.First(answer => answer.Exit == TrainedRun.Exits || answer.Confidence >= thresholds[answer.Exit - 1])),
                ];
                accuracy.Should().BeApproximately(answers.Average(answer => answer.Prediction == answer.Label ? 1.0 : 0), 1e-12);
                cost.Should()
                    .BeApproximately(answers.Average(answer => (double)macs[answer.Exit - 1]), 1e-5 * cost, "it is summed in float32");
                rows.Select(share).Should()
                    .Equal(
                        Enumerable.Range(1, TrainedRun.Exits)
                            .Select(exit => (double)answers.Count(answer => answer.Exit == exit) / set.Length));
            }
        }
    }

    [Fact]
    public void A_policy_decides_who_leaves_where_in_the_table_of_exits()
    {
        trained.Run(0, "calibrate", "run", "--shares", "1,0,1", "--criterion", "entropy", "--out", "half.json");

        string output = trained.Run(0, "eval", "run", "--policy", "half.json", "--out", "by-policy").Output;

        ExitRow[] rows = trained.Read<ExitRow>("by-policy", "exits.csv");
        long[] macs = [.. trained.Read<CostRow>("run", "cost.csv").Select(row => row.Macs)];
        long[] leaving = [.. rows.Select(row => (long)Math.Round(row.Share * TrainedRun.TestImages))];
        double accuracy = 100 * rows.Sum(row => row.Share * (row.AccuracyLeaving ?? 0)), cost = new BudgetedOutcome(leaving, [])
            .MeanMacs(macs);
        output.Split('\n').Should().ContainSingle(line => line.StartsWith("policy half.json", StringComparison.Ordinal))
            .Which.Should().Be("policy half.json, on the test images: " + FormattableString.Invariant(
                $"{accuracy:0.0} % accuracy, {cost:N0} multiply-adds on average, {cost / macs[^1]:0.00} of the last exit's"));
        rows.Select(row => row.Exit).Should().Equal(1, 2, 3);
        rows[1].Share.Should().Be(0);
        rows[0].Share.Should().BeInRange(0.1, 0.9);
        rows.Sum(row => row.Share).Should().BeApproximately(1, 1e-12);
        File.ReadAllText(trained.In("by-policy", "dynamic.csv")).Should()
            .Be(File.ReadAllText(trained.In("run", "dynamic.csv")), "budgets are by confidence");
        File.ReadAllText(trained.In("by-policy", "anytime.csv")).Should().Be(File.ReadAllText(trained.In("run", "anytime.csv")));
    }

    [Fact]
    public void Latency_is_measured_for_one_image_and_for_a_batch_at_each_exit_and_under_each_budget()
    {
        trained.Run(0, "eval", "run", "--latency", "--batch", "20", "--repeat", "2", "--points", "10", "--out", "timed").Output.Should()
            .Contain("median ms");

        LatencyRow[] rows = trained.Read<LatencyRow>("timed", "latency.csv");
        rows.Select(row => (row.Batch, row.Kind, row.Exit, row.P)).Should().Equal(
            from batch in new[] { 1, 20 }
            from way in Enumerable.Range(1, 3).Select(exit => ("anytime", (int?)exit, (int?)null))
                .Concat(Enumerable.Range(1, 10).Select(p => ("dynamic", (int?)null, (int?)p)))
            select (batch, way.Item1, way.Item2, way.Item3));
        rows.Should().OnlyContain(row => row.MedianMs > 0 && row.P95Ms >= row.MedianMs && row.Batches == (row.Batch == 1 ? 20 : 2));
        rows.Where(row => row.Exit is not null).Select(row => row.Accuracy).Should()
            .Equal(Enumerable.Repeat(trained.Read<AnytimeRow>("run", "anytime.csv").Select(row => row.Top1), 2).SelectMany(top1 => top1));
    }

    [Fact]
    public void Head_medium_and_tail_classes_of_long_tailed_data_are_looked_at_apart()
    {
        using var tailed = new DataCifarFolder(CifarFormat.Cifar10);
        const int Record = 3073;
        foreach (string file in CifarFormat.Cifar10.TrainFiles)
        {
            byte[] content = File.ReadAllBytes(tailed.PathOf(file));
            for (int image = 20; image < 40; image++)
            {
                content[image * Record] = (byte)(image % 3); // classes 0 to 2 have most
            }

            tailed.Write(file, content);
        }

        trained.Run(0, "eval", "run", "--data", tailed.Root, "--out", "tailed");

        ExitRow[] rows = trained.Read<ExitRow>("tailed", "exits.csv");
        rows.Select(row => (row.Classes, row.Exit)).Should()
            .Equal(from name in new[] { "all", "head", "medium", "tail" } from exit in Enumerable.Range(1, 3) select (name, exit));
        rows.Where(row => row.Exit == 1).Select(row => row.Samples).Should()
            .Equal([40, 16, 12, 12], "ten classes make thirds of 4, 3 and 3, and each has 4 test images");
        rows.Where(row => row.Classes != "all" && row.Exit == 2).Sum(row => row.Accuracy * row.Samples)
            .Should().BeApproximately(rows.Single(row => row.Classes == "all" && row.Exit == 2).Accuracy * 40, 1e-9);
    }

    [Theory]
    [InlineData("missing does not exist", "missing")]
    [InlineData("no checkpoints/latest.pt", ".")]
    [InlineData("--points is 0", "run", "--points", "0")]
    [InlineData("--points is 1001", "run", "--points", "1001")]
    [InlineData("--batch is -1", "run", "--batch", "-1")]
    [InlineData("--batch is 2147483647", "run", "--batch", "2147483647")]
    [InlineData("--repeat is 300000000", "run", "--repeat", "300000000")]
    [InlineData("--out is empty", "run", "--out", "")]
    [InlineData("--repeat is 0", "run", "--repeat", "0")]
    [InlineData("Unknown option --pionts; did you mean --points? See imta eval --help.", "run", "--pionts", "3")]
    [InlineData("Unknown option --pionts", "--pionts", "3")]
    [InlineData("missing.json is not a readable policy", "run", "--policy", "missing.json")]
    [InlineData("nowhere", "run", "--data", "nowhere")]
    [InlineData("cannot be written", "run", "--out", "run/config.yaml")]
    [InlineData("CUDA", "run", "--device", "cuda")]
    public void Wrong_input_is_one_line(string named, params string[] arguments)
        => trained.Refusal(["eval", .. arguments]).Should().Contain(named);

    [Fact]
    public void A_checkpoint_of_a_training_that_diverged_is_refused_in_one_line()
    {
        trained.Change("wild", state => state.Values.First(tensor => tensor.dtype == float32).fill_(Held(double.NaN))); // counters cannot

        trained.Refusal("eval", "wild").Should().Contain("NaN or infinite values").And.Contain("train.rate");
        trained.Refusal("calibrate", "wild", "--macs", "3M").Should().Contain("NaN or infinite values");
    }

    [Fact]
    public void An_unfinished_run_is_tested_with_a_warning_and_its_tables_go_when_it_goes_on()
    {
        string[] longer = ["train", "--out", "broken", .. ImtaProcess.Tiny, "--set", "train.epochs=4", "--set", "data.trainLimit=500"];
        using (ImtaProcess process = ImtaProcess.Start(trained.Folder, longer))
        {
            // epoch 2
            process.WaitUntil(
                ()
                    => File.Exists(trained.In("broken", "epochs.csv"))
                        && File.ReadLines(trained.In("broken", "epochs.csv")).Count() > 1 + 2);
            process.Kill();
            process.End();
        }

        trained.Run(0, "eval", "broken", "--latency", "--batch", "4", "--repeat", "1", "--points", "1").Error.Should()
            .MatchRegex("^warning: .*latest[.]pt is from epoch [123] of 4\n$");
        trained.Run(0, "train", "--resume", "broken");

        File.Exists(trained.In("broken", "latency.csv")).Should().BeFalse();
        File.ReadLines(trained.In("broken", "dynamic.csv")).Should().HaveCount(1 + (39 * 2), "the run's own tables have 39 budgets");
        trained.Run(0, "eval", "broken", "--latency", "--batch", "4", "--repeat", "1").Error.Should().BeEmpty();
        trained.Run(0, "train", "--resume", "broken");
        File.Exists(trained.In("broken", "latency.csv")).Should().BeTrue("nothing was left to train");
    }

    [Fact]
    public void A_torn_checkpoint_is_refused_in_one_line()
    {
        File.WriteAllBytes(trained.In("torn.pt"), File.ReadAllBytes(trained.In("run", "checkpoints", "latest.pt"))[..5000]);

        trained.Refusal("eval", "torn.pt").Should().Contain("torn.pt");
        Directory.Exists(trained.In("torn.pt.eval")).Should().BeFalse();
    }

    private static float[] Search(PredictionRow[][] validation, double q)
    {
        float[] powers = [.. Enumerable.Range(1, TrainedRun.Exits).Select(k => MathF.Exp(MathF.Log((float)q) * k))];
        var thresholds = new float[TrainedRun.Exits];
        var left = validation.ToList();
        for (int k = 0; k < TrainedRun.Exits - 1; k++)
        {
            int exit = k, quota = (int)Math.Floor((double)validation.Length * powers[k] / powers.Sum());
            float[] sorted = [.. left.Select(image => image[exit].Confidence).OrderDescending()];
            thresholds[k] = quota > 0 && quota <= sorted.Length ? sorted[quota - 1] : float.PositiveInfinity;
            left.RemoveAll(image => image[exit].Confidence >= thresholds[exit]);
        }

        return thresholds;
    }
}

using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary><c>logits.safetensors</c>: all that evaluation outside needs.</summary>
public sealed class ExportLogitsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose()
    {
        _scope.Dispose();
        _folder.Dispose();
    }

    /// <summary>Thresholds are found on validation images by confidence, as published, and applied to test images.</summary>
    [Fact]
    public void Budgets_are_recomputed_from_it_to_the_same_bytes()
    {
        _folder.Run(0, ["train", "--out", "run", .. ImtaProcess.Tiny, "--set", "export.logits=true", "--set", "export.predictions=false"]);
        Dictionary<string, Tensor> file = Safetensors.Read(_folder.In("run", "logits.safetensors")).Tensors();
        long[] macs = [.. _folder.Read<CostRow>("run", "cost.csv").Select(row => row.Macs)];

        CsvTable.Write(_folder.In("again.csv"), Budgets(file, macs));

        File.ReadAllBytes(_folder.In("again.csv")).Should().Equal(File.ReadAllBytes(_folder.In("run", "dynamic.csv")));
        file["test.sample"].data<long>().Distinct().Should().HaveCount(40);
        file["test.logits"].shape.Should().Equal(40, 2, 10);
    }

    [Fact]
    public void Evaluation_writes_the_same_also_for_a_run_that_was_trained_without()
    {
        _folder.Run(0, ["train", "--out", "run", .. ImtaProcess.Tiny, "--set", "export.logits=true"]);
        _folder.Run(0, "eval", "run", "--out", "again");
        _folder.Run(0, ["train", "--out", "without", .. ImtaProcess.Tiny]);
        File.Exists(_folder.In("without", "logits.safetensors")).Should().BeFalse();
        _folder.Run(0, "eval", "without", "--set", "export.logits=true");
        _folder.Run(0, "eval", "without", "--out", "bare", "--set", "export.predictions=false");

        foreach (string folder in new[] { "again", "without" })
        {
            File.ReadAllBytes(_folder.In(folder, "logits.safetensors")).Should()
                .Equal(File.ReadAllBytes(_folder.In("run", "logits.safetensors")), folder);
        }

        Directory.GetFiles(_folder.In("bare")).Select(Path.GetFileName).Should().Contain("exits.csv").And
            .NotContain(["logits.safetensors", "predictions.csv"]);
        _folder.Run(2, "eval", "without", "--set", "export.logits=true", "--set", "meta.q=1").Error.Should()
            .Be("imta: --set meta.q=1 has no configuration to override; give one with --config\n");
    }

    /// <summary>What is done outside: the five likeliest classes, and softmax with a temperature.</summary>
    [Fact]
    public void The_five_likeliest_classes_and_a_temperature_are_found_from_it_alone()
    {
        _folder.Run(0, ["train", "--out", "run", .. ImtaProcess.Tiny, "--set", "export.logits=true"]);
        Dictionary<string, Tensor> file = Safetensors.Read(_folder.In("run", "logits.safetensors")).Tensors();
        long[] labels = file["test.label"].data<long>().ToArray();
        float[] logits = file["test.logits"].data<float>().ToArray(); // [N, K, C], row by row
        AnytimeRow[] anytime = [.. _folder.Read<AnytimeRow>("run", "anytime.csv")];
        for (int k = 0; k < anytime.Length; k++)
        {
            float[][] rows = [.. labels.Select((_, n) => logits[(((n * anytime.Length) + k) * 10)..][..10])];
            int Above(int n) => rows[n].Count(logit => logit > rows[n][labels[n]]);
            double NegativeLogLikelihood(double temperature) => Enumerable.Range(0, labels.Length).Average(n
                => Math.Log(rows[n].Sum(logit => Math.Exp(logit / temperature))) - (rows[n][labels[n]] / temperature));

            anytime[k].Top1.Should().Be(Enumerable.Range(0, labels.Length).Count(n => Above(n) == 0) / (double)labels.Length);
            anytime[k].Top5.Should().Be(Enumerable.Range(0, labels.Length).Count(n => Above(n) < 5) / (double)labels.Length);
            anytime[k].Loss.Should().BeApproximately(NegativeLogLikelihood(1), 1e-6);
            NegativeLogLikelihood(1000).Should().BeApproximately(Math.Log(10), 1e-2, "at a high temperature all classes are alike");
        }
    }

    private static IEnumerable<DynamicRow> Budgets(Dictionary<string, Tensor> file, long[] macs)
    {
        (Tensor Confidence, Tensor Correct) Of(string split)
        {
            Tensor logits = file[$"{split}.logits"];
            return (logits.softmax(2).amax([2]), logits.argmax(2).eq(file[$"{split}.label"].unsqueeze(1)));
        }

        var (validation, test) = (Of("validation"), Of("test"));
        for (int p = 1; p <= 39; p++)
        {
            int[] quotas = ExitShares.Quotas(ExitShares.FromQ(p / 20.0, macs.Length), validation.Confidence.shape[0]);
            Tensor thresholds = BudgetedInference.Thresholds(validation.Confidence, [quotas]);
            BudgetedOutcome held = BudgetedInference.Apply(validation.Confidence, validation.Correct, thresholds).Single();
            BudgetedOutcome tested = BudgetedInference.Apply(test.Confidence, test.Correct, thresholds).Single();
            for (int k = 0; k < macs.Length; k++)
            {
                yield return new DynamicRow
                {
                    P = p,
                    Q = p / 20.0,
                    Exit = k + 1,
                    Threshold = ThresholdPolicy.InFile(thresholds[0, k].item<float>()),
                    ValidationShare = held.Shares[k],
                    TestShare = tested.Shares[k],
                    TestAccuracyLeaving = tested.Leaving[k] == 0 ? null : (double)tested.Correct[k] / tested.Leaving[k],
                    ValidationAccuracy = held.Accuracy,
                    TestAccuracy = tested.Accuracy,
                    ValidationMacs = held.MeanMacs(macs),
                    TestMacs = tested.MeanMacs(macs),
                };
            }
        }
    }
}

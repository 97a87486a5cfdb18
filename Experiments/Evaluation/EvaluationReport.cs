using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Evaluation;

/// <summary>
/// The tables of a network on its test set: anytime, budgeted (by confidence, as published), and what explains them. The same predictions
/// give the same bytes.
/// </summary>
internal sealed class EvaluationReport
{
    /// <summary>p = 1 … 39, as swept by L2W-DEN and MSDNet; IMTA goes up to 40.</summary>
    public const int DefaultPoints = 39;

    private const double StepsOfP = 20; // q = p/20
    private const int EqualSharesPoint = 20; // its p

    private readonly Predictions _validation;
    private readonly Predictions _test;
    private readonly NetworkCost _cost;
    private readonly long[] _macs;
    private readonly float[][] _thresholds;

    /// <param name="validation">Predictions for the validation images, on which thresholds are found; none: nothing is budgeted.</param>
    /// <param name="test">Predictions for the test images.</param>
    /// <param name="cost">The network's cost.</param>
    /// <param name="points">P: budgets p = 1 … P.</param>
    public EvaluationReport(Predictions validation, Predictions test, NetworkCost cost, int points = DefaultPoints)
    {
        (_validation, _test, _cost) = (validation, test, cost);
        _macs = [.. cost.Exits.Select(exit => exit.Macs)];
        if (validation.Set.Count == 0)
        {
            (_thresholds, Budgets) = ([], []);
            return;
        }

        using DisposeScope scope = NewDisposeScope();
        int exits = test.Exits;
        Tensor thresholds = BudgetedInference.Thresholds(
            validation.Confidence,
            [.. Enumerable.Range(1, points).Select(p => ExitShares.Quotas(ExitShares.FromQ(Q(p), exits), validation.Set.Count))]);
        float[] values = thresholds.ToArray<float>();
        _thresholds = [.. Enumerable.Range(0, points).Select(p => values[(p * exits)..((p + 1) * exits)])];
        Budgets = Budgeted(thresholds);
    }

    /// <summary>The rows of <c>dynamic.csv</c>, P · K, by p and exit.</summary>
    public IReadOnlyList<DynamicRow> Budgets { get; }

    /// <summary>The rows of <c>anytime.csv</c>.</summary>
    public IReadOnlyList<AnytimeRow> Anytime => [.. _test.PerExit().Select((score, k) => new AnytimeRow
    {
        Exit = k + 1,
        Top1 = score.Top1,
        Top5 = score.Top5,
        Loss = score.Loss,
        Samples = _test.Set.Count,
        Macs = _cost.Exits[k].Macs,
        Parameters = _cost.Exits[k].Parameters,
    })];

    /// <summary>The q of budget p.</summary>
    public static double Q(int p) => p / StepsOfP;

    /// <summary>The policy of budget p.</summary>
    public ThresholdPolicy PolicyOf(int p) => new(ExitCriteria.Confidence, _thresholds[p - 1]);

    /// <summary>Where test images leave under a policy, and how many of them are predicted correctly.</summary>
    public BudgetedOutcome Outcome(IExitPolicy policy) => policy.Apply(_test.Scores, _test.Correct);

    /// <summary>The risk of a policy on the test images, whose predictions have <see cref="Predictions.RiskLosses"/>.</summary>
    public double Risk(IExitPolicy policy)
    {
        using DisposeScope scope = NewDisposeScope();
        return _test.RiskLosses!.gather(1, policy.ExitOf(_test.Scores).unsqueeze(1)).mean().item<double>();
    }

    /// <summary>Writes all tables.</summary>
    /// <param name="files">The target files.</param>
    /// <param name="classCounts">Training images per class.</param>
    /// <param name="policy">
    /// Decides which samples leave where in <c>exits.csv</c> and <c>classes.csv</c>, by the predictions' scores; null: budget p = 20, equal
    /// shares, or the last budget if there are fewer; without thresholds, all samples go to the last exit.
    /// </param>
    /// <param name="predictions">Whether to write <c>predictions.csv</c>.</param>
    public void Write(EvaluationFiles files, IReadOnlyList<long> classCounts, IExitPolicy? policy, bool predictions)
    {
        policy ??= _thresholds.Length == 0 ? NoneLeave() : PolicyOf(Math.Min(EqualSharesPoint, _thresholds.Length));
        CsvTable.Write(files.Anytime, Anytime);
        if (_thresholds.Length > 0)
        {
            CsvTable.Write(files.Dynamic, Budgets);
        }

        CsvTable.Write(files.Exits, Diagnostics.Exits(_test, policy, ClassGroup.FromCounts(classCounts)));
        CsvTable.Write(files.Classes, Diagnostics.Classes(_test, policy, classCounts));
        CsvTable.Write(files.Correlation, Diagnostics.Correlations(_test));
        if (predictions)
        {
            CsvTable.Write(files.Predictions, RowsOf("validation", _validation).Concat(RowsOf("test", _test)));
        }

        if (_test.Logits is not null)
        {
            Safetensors.Write(files.Logits, LogitsOf("validation", _validation).Concat(LogitsOf("test", _test)).ToDictionary());
        }
    }

    private ThresholdPolicy NoneLeave()
        => new(ExitCriteria.Confidence, [.. Enumerable.Repeat(BudgetedInference.Never, _test.Exits - 1), BudgetedInference.Always]);

    private DynamicRow[] Budgeted(Tensor thresholds)
    {
        BudgetedOutcome[] validation = BudgetedInference.Apply(_validation.Confidence, _validation.Correct, thresholds);
        BudgetedOutcome[] test = BudgetedInference.Apply(_test.Confidence, _test.Correct, thresholds);
        return [.. from p in Enumerable.Range(1, test.Length)
                   let held = validation[p - 1]
                   let tested = test[p - 1]
                   from k in Enumerable.Range(0, _macs.Length)
                   select new DynamicRow
                   {
                       P = p,
                       Q = Q(p),
                       Exit = k + 1,
                       Threshold = ThresholdPolicy.InFile(_thresholds[p - 1][k]),
                       ValidationShare = held.Shares[k],
                       TestShare = tested.Shares[k],
                       TestAccuracyLeaving = tested.Leaving[k] == 0 ? null : (double)tested.Correct[k] / tested.Leaving[k],
                       ValidationAccuracy = held.Accuracy,
                       TestAccuracy = tested.Accuracy,
                       ValidationMacs = held.MeanMacs(_macs),
                       TestMacs = tested.MeanMacs(_macs),
                   }];
    }

    /// <summary>Logits <c>[N, K, C]</c>, labels <c>[N]</c> and the images' numbers <c>[N]</c>, as in <c>predictions.csv</c>.</summary>
    private static Dictionary<string, Tensor> LogitsOf(string split, Predictions predictions) => new()
    {
        [$"{split}.logits"] = predictions.Logits!,
        [$"{split}.label"] = predictions.Set.Labels,
        [$"{split}.sample"] = predictions.Set.SourceIndices,
    };

    private static IEnumerable<PredictionRow> RowsOf(string split, Predictions predictions)
    {
        using DisposeScope scope = NewDisposeScope();
        long[] samples = predictions.Set.SourceIndices.ToArray<long>(), labels = predictions.Set.Labels.ToArray<long>();
        long[] classes = predictions.Classes.contiguous().ToArray<long>();
        float[] confidence = predictions.Confidence.ToArray<float>();
        int exits = predictions.Exits;
        for (int i = 0; i < classes.Length; i++)
        {
            yield return new PredictionRow
            {
                Split = split,
                Sample = samples[i / exits],
                Label = labels[i / exits],
                Exit = (i % exits) + 1,
                Prediction = classes[i],
                Confidence = confidence[i],
            };
        }
    }
}

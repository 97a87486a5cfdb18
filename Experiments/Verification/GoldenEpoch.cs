using Imta.MetaWeight.Meta;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary>What the published code prints at the end of an epoch, from the half batches of the epoch.</summary>
internal sealed class GoldenEpoch
{
    private const int TopK = 5;

    private readonly List<HalfBatchReport> _reports = [];
    private readonly List<double[]> _top5 = []; // per cent at each exit, of each half batch

    /// <summary>The logits of a half batch, <c>[N, C]</c> at each exit, and its labels <c>[N]</c>.</summary>
    public void Add(IReadOnlyList<Tensor> logits, Tensor labels)
    {
        Tensor best = stack(logits, 1).topk(TopK, 2).indexes; // [N, K, 5]
        _top5.Add(GoldenFile.Values(PerCent(best.eq(labels.view(-1, 1, 1)).to_type(float32).sum([2]))));
    }

    /// <summary>The half batches of a step, after it.</summary>
    public void Add(IReadOnlyList<HalfBatchReport> halves) => _reports.AddRange(halves);

    /// <summary>The published averages: each half batch is weighted by its samples, its meta objective by the other half's.</summary>
    public void Check(GoldenFile golden, GoldenComparison comparison)
    {
        comparison.Check(
            "epoch/mean_weighted_loss_per_exit", cat([.. _reports.Select(report => report.Losses.mul(report.Weights))]).mean([0]));
        CheckMean("epoch/acc1_per_exit", _reports.Select((report, part) => (GoldenFile.Values(PerCent(report.Correct)), Samples(part))));
        CheckMean("epoch/acc5_per_exit", _top5.Select((accuracy, part) => (accuracy, Samples(part))));
        CheckMean("epoch/mean_meta_loss", _reports
            .Select((report, part) => (Objective: report.Objective, Samples: Samples(part ^ 1)))
            .Where(entry => entry.Objective is not null)
            .Select(entry => (GoldenFile.Values(entry.Objective!), entry.Samples)));

        long Samples(int part) => _reports[part].Losses.shape[0];

        void CheckMean(string key, IEnumerable<(double[] Values, long Samples)> halves)
        {
            var all = halves.ToArray();
            double[] mean =
            [
                .. Enumerable.Range(0, all[0].Values.Length)
                    .Select(k => all.Sum(part => part.Values[k] * part.Samples) / all.Sum(part => part.Samples)),
            ];
            comparison.Check(key, tensor(mean, golden[key].shape));
        }
    }

    /// <summary>Accuracy of each exit in per cent, <c>[K]</c>; a product in float32, as in the published code.</summary>
    private static Tensor PerCent(Tensor correct) => correct.to_type(float32).sum([0]).mul(Held(100.0 / correct.shape[0])).to_type(float64);
}

using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Losses;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>How good an exit is on a set of images.</summary>
/// <param name="Loss">Mean cross-entropy.</param>
/// <param name="Top1">Share of images whose class is the exit's first answer.</param>
/// <param name="Top5">Share of images whose class is among the exit's first five answers.</param>
internal sealed record ExitScore(double Loss, double Top1, double Top5);

/// <summary>Every exit on a set of clean images, one forward pass each.</summary>
internal static class Evaluation
{
    /// <summary>Images of a forward pass.</summary>
    public const int Batch = 256;

    private const int Best = 5;

    /// <summary>The K scores.</summary>
    public static ExitScore[] Of(MultiExitNetwork network, BatchSource source, int images, CancellationToken stop)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        Tensor sums = zeros([3, network.Exits], float64); // losses, first right, among five [3, K]
        foreach (Batch batch in source.InOrder(Batch))
        {
            stop.ThrowIfCancellationRequested();
            using DisposeScope step = NewDisposeScope();
            using (batch)
            {
                sums.add_(OfBatch(network, batch).cpu());
            }
        }

        double[] total = sums.div(images).data<double>().ToArray();
        int exits = network.Exits;
        return [.. Enumerable.Range(0, exits).Select(k => new ExitScore(total[k], total[exits + k], total[(2 * exits) + k]))];
    }

    private static Tensor OfBatch(MultiExitNetwork network, Batch batch)
    {
        Tensor[] logits = network.Forward(batch.Images, NormStatistics.Running);
        Tensor best = stack(logits, 1).topk(Math.Min(Best, network.Classes), 2).indexes; // [N, K, 5]
        Tensor hits = best.eq(batch.Labels.view(-1, 1, 1)).to_type(float64); // [N, K, 5]
        Tensor losses = CrossEntropy.PerSample(logits, batch.Labels).to_type(float64); // [N, K]
        return stack([losses.sum([0]), hits.select(2, 0).sum([0]), hits.sum([0, 2])]); // [3, K]
    }
}

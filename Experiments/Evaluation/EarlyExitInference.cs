using System.Diagnostics;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Evaluation;

/// <summary>Classifies images by early-exit execution under a policy.</summary>
/// <param name="network">The network.</param>
/// <param name="policy">A policy for it.</param>
internal sealed class EarlyExitInference(TrainedNetwork network, PolicyFile policy)
{
    /// <summary>Seconds that the classification took.</summary>
    public double Seconds { get; private set; }

    /// <summary>The rows of <c>answers.csv</c>, in the images' order.</summary>
    /// <param name="images">The images.</param>
    /// <param name="size">The batch size.</param>
    /// <param name="advance">Told of each batch.</param>
    /// <param name="stop">Ends the work after its present batch.</param>
    /// <exception cref="UsageException">The network's logits are NaN or infinite.</exception>
    public List<InferenceRow> Run(ImageSet images, int size, Action advance, CancellationToken stop)
    {
        var rows = new List<InferenceRow>();
        var clock = Stopwatch.StartNew();
        using var runner = new EarlyExit(network.Network);
        var rule = new ExitPolicyRule(policy.Policy);
        long[] positions = images.SourceIndices.ToArray<long>();
        foreach (Batch batch in new BatchSource(images, policy.Normalisation, network.Device).InOrder(size))
        {
            stop.ThrowIfCancellationRequested();
            using DisposeScope step = NewDisposeScope();
            using (batch)
            {
                rows.AddRange(Rows(Classify(runner, batch.Images, rule), images.Files, positions.AsSpan(rows.Count)));
            }

            advance();
        }

        Seconds = clock.Elapsed.TotalSeconds;
        return rows;
    }

    /// <summary>The share of rows whose class is the image's label.</summary>
    public static double Accuracy(List<InferenceRow> rows, ImageSet images)
    {
        var labels = images.SourceIndices.ToArray<long>().Zip(images.Labels.ToArray<long>()).ToDictionary();
        return rows.Average(row => labels[row.Sample] == row.Class ? 1.0 : 0);
    }

    private static EarlyExitResult Classify(EarlyExit runner, Tensor images, ExitPolicyRule rule)
    {
        try
        {
            return runner.Run(images, rule.Leaves);
        }
        catch (NonFiniteLogitsException e)
        {
            throw Predictions.Refusal(e);
        }
    }

    private InferenceRow[] Rows(EarlyExitResult found, ImageFiles? files, ReadOnlySpan<long> positions)
    {
        float[] confidence = ExitCriteria.Confidence.Score(found.Logits).cpu().ToArray<float>();
        long[] classes = found.Logits.argmax(1).cpu().ToArray<long>(), exits = found.Exits.cpu().ToArray<long>();
        long[] samples = positions[..classes.Length].ToArray();
        return [.. classes.Select((label, i) => new InferenceRow
        {
            Sample = samples[i],
            Class = label,
            Name = policy.ClassNames[(int)label],
            Confidence = confidence[i],
            Exit = (int)exits[i] + 1,
            Macs = policy.Macs[(int)exits[i]],
            File = files?.Names[(int)samples[i]],
        })];
    }
}

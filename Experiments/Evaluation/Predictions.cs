using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Losses;

namespace Imta.MetaWeight.Experiments.Evaluation;

/// <summary>The metrics of an exit on a data set.</summary>
/// <param name="Loss">Mean cross-entropy.</param>
/// <param name="Top1">Share of images whose class is the exit's first prediction.</param>
/// <param name="Top5">Share of images whose class is among the exit's first five predictions.</param>
internal sealed record ExitMetrics(double Loss, double Top1, double Top5);

/// <summary>What every exit predicts for a set of unaugmented images. Everything is on the CPU.</summary>
/// <remarks>Shapes: <c>N</c> images, <c>K</c> exits.</remarks>
/// <param name="Set">The images.</param>
/// <param name="Classes">int64 <c>[N, K]</c>: the predicted classes.</param>
/// <param name="Confidence">float32 <c>[N, K]</c>: the largest softmax probability.</param>
/// <param name="Scores">float32 <c>[N, K]</c>: the scores that an exit policy decides by.</param>
/// <param name="Losses">float32 <c>[N, K]</c>: the cross-entropies.</param>
/// <param name="TopFive">bool <c>[N, K]</c>: whether the image's class is among the first five predictions.</param>
internal sealed record Predictions(ImageSet Set, Tensor Classes, Tensor Confidence, Tensor Scores, Tensor Losses, Tensor TopFive)
{
    /// <summary>Images per forward pass.</summary>
    public const int Batch = 256;

    private const int Best = 5;

    /// <summary>float64 <c>[N, K]</c>: what leaving at each exit loses, if a risk was given.</summary>
    public Tensor? RiskLosses { get; private init; }

    /// <summary>float32 <c>[N, K, C]</c>, if requested.</summary>
    public Tensor? Logits { get; init; }

    /// <summary>K.</summary>
    public int Exits => (int)Classes.shape[1];

    /// <summary>bool <c>[N, K]</c>: whether the predicted class is the image's.</summary>
    public Tensor Correct => Classes.eq(Set.Labels.unsqueeze(1));

    /// <summary>Forward passes that <see cref="Compute"/> makes for a set.</summary>
    public static int Batches(ImageSet set) => Batches(set.Count);

    /// <summary>The number of forward passes for a number of images.</summary>
    public static int Batches(long images) => (int)((images + Batch - 1) / Batch);

    /// <summary>Classifies every image at every exit, unchecked; the predictions belong to the open dispose scope.</summary>
    /// <param name="network">The network.</param>
    /// <param name="set">The images; owned by the caller.</param>
    /// <param name="normalisation">For the network's input.</param>
    /// <param name="criterion">The score of <see cref="Scores"/>.</param>
    /// <param name="device">The network's device.</param>
    /// <param name="stop">Ends the work after the current batch.</param>
    /// <param name="advance">Called after each batch.</param>
    /// <param name="risk">The risk of <see cref="RiskLosses"/>.</param>
    /// <param name="logits">Whether to keep <see cref="Logits"/>.</param>
    public static Predictions Compute(
        MultiExitNetwork network,
        ImageSet set,
        Normalisation normalisation,
        IExitCriterion criterion,
        Device device,
        CancellationToken stop,
        Action? advance = null,
        ExitRisk? risk = null,
        bool logits = false)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        using var folding = new BatchNormFolding();
        var pass = new Pass(NormStatistics.Running) { Folding = folding };
        var parts = new List<Tensor[]>();
        foreach (Batch batch in new BatchSource(set, normalisation, device).InOrder(Batch))
        {
            stop.ThrowIfCancellationRequested();
            using DisposeScope step = NewDisposeScope();
            using (batch)
            {
                parts.Add(Array.ConvertAll(OfBatch(network, batch, pass, criterion, risk, logits), part => step.MoveToOuter(part.cpu())));
            }

            advance?.Invoke();
        }

        if (parts.Count == 0)
        {
            Tensor None(ScalarType type) => scope.MoveToOuter(empty([0, network.Exits], type));
            return new Predictions(set, None(int64), None(float32), None(float32), None(float32), None(ScalarType.Bool))
            {
                Logits = logits ? scope.MoveToOuter(empty([0, network.Exits, network.Classes], float32)) : null,
            };
        }

        Tensor Whole(int part) => scope.MoveToOuter(cat([.. parts.Select(of => of[part])], 0));
        return new Predictions(set, Whole(0), Whole(1), Whole(2), Whole(3), Whole(4))
        {
            RiskLosses = risk is null ? null : Whole(5),
            Logits = logits ? Whole(risk is null ? 5 : 6) : null,
        };
    }

    /// <summary>Rejects predictions that follow from logits that are NaN or +∞: their cross-entropy is NaN.</summary>
    /// <exception cref="UsageException">There are some.</exception>
    public void Check()
    {
        using DisposeScope scope = NewDisposeScope();
        long[] broken = Losses.isnan().sum([0], type: int64).ToArray<long>();
        if (broken.Any(count => count > 0))
        {
            throw Refusal(new NonFiniteLogitsException(broken, Set.Count));
        }
    }

    /// <summary>The error for a network with such logits.</summary>
    public static UsageException Refusal(NonFiniteLogitsException logits)
        => new($"{logits.Message}: its training diverged or its statistics are damaged; use another checkpoint, or retrain", logits);

    /// <summary>The metrics of the K exits.</summary>
    public ExitMetrics[] PerExit()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor sums = stack([.. new[] { Losses, Correct, TopFive }.Select(of => of.to_type(float64).sum([0]))]); // [3, K]
        double[] means = sums.div(Held(Set.Count)).ToArray<double>();
        return [.. Enumerable.Range(0, Exits).Select(k => new ExitMetrics(means[k], means[Exits + k], means[(2 * Exits) + k]))];
    }

    private static Tensor[] OfBatch(
        MultiExitNetwork network, Batch batch, Pass pass, IExitCriterion criterion, ExitRisk? risk, bool keepsLogits)
    {
        Tensor[] logits = network.Forward(batch.Images, pass);
        Tensor stacked = stack(logits, 1); // [N, K, C]
        Tensor best = stacked.topk(Math.Min(Best, network.Classes), 2).indexes; // [N, K, 5]
        Tensor confidence = ExitCriteria.Confidence.Score(stacked);
        Tensor scores = criterion == ExitCriteria.Confidence ? confidence : criterion.Score(stacked);
        Tensor five = best.eq(batch.Labels.view(-1, 1, 1)).to_type(int64).sum(2).gt(Held(0));
        Tensor[] ofRisk = risk is null ? [] : [risk.Losses(stacked.softmax(2), batch.Labels)];
        Tensor[] kept = keepsLogits ? [stacked] : [];
        return [stacked.argmax(2), confidence, scores, CrossEntropy.PerSample(logits, batch.Labels), five, .. ofRisk, .. kept];
    }
}

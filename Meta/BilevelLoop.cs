using System.Diagnostics;

namespace Imta.MetaWeight.Meta;

/// <summary>
/// The bilevel loop of L2W-DEN (Han et al., ECCV 2022, Figure 3). A batch is cut in two halves: part 1 trains on the first with the
/// second as meta data, part 2 the other way round, after part 1's updates. Each part goes through pseudo update, WPN update and real
/// update. Without a weighting every weight is 1 and the batch stays whole: plain training is the same loop. So does a batch whose meta
/// data are held out (Meta-Weight-Net).
/// </summary>
/// <remarks>Shapes: <c>N</c> training samples of a part, <c>K</c> exits. Nothing here reads from the device.</remarks>
public sealed class BilevelLoop
{
    private readonly IMetaGradient _method;
    private readonly Sgd _optimiser;
    private readonly Weighted? _weighted;
    private readonly RuledWeights? _rule;
    private readonly Averaging? _averaging;

    /// <summary>The loop with learned weights.</summary>
    /// <param name="method">How the loop differentiates.</param>
    /// <param name="optimiser">Updates θ.</param>
    /// <param name="weighting">Predicts weights by Θ.</param>
    /// <param name="metaOptimiser">Updates Θ.</param>
    /// <param name="averaging">Of the gradients of both updates over processes; null: this one trains alone.</param>
    public BilevelLoop(IMetaGradient method, Sgd optimiser, SampleWeighting weighting, Adam metaOptimiser, Averaging? averaging = null)
        : this(method, optimiser, averaging) => _weighted = new Weighted(weighting, metaOptimiser);

    /// <summary>The loop with weights by a rule.</summary>
    /// <param name="method">How the loop differentiates.</param>
    /// <param name="optimiser">Updates θ.</param>
    /// <param name="rule">The weights.</param>
    /// <param name="averaging">Of the update's gradients over processes; null: this one trains alone.</param>
    public BilevelLoop(IMetaGradient method, Sgd optimiser, RuledWeights rule, Averaging? averaging = null)
        : this(method, optimiser, averaging) => _rule = rule;

    /// <summary>The loop without weights: plain training.</summary>
    /// <param name="method">How the loop differentiates.</param>
    /// <param name="optimiser">Updates θ.</param>
    /// <param name="averaging">Of the update's gradients over processes; null: this one trains alone.</param>
    public BilevelLoop(IMetaGradient method, Sgd optimiser, Averaging? averaging = null)
    {
        _method = method;
        _optimiser = optimiser;
        _averaging = averaging;
    }

    /// <summary>One batch: two parts, each half being the other's meta data; or one without weights.</summary>
    /// <param name="batch">At least two samples; of an odd number the first half gets one more.</param>
    /// <param name="rates">The learning rates of this batch.</param>
    /// <param name="updateWeighting">Whether the WPN learns from this batch (<c>meta.interval</c>).</param>
    /// <returns>What each part saw, in the caller's dispose scope.</returns>
    /// <exception cref="ArgumentException">A batch of one sample cannot be cut.</exception>
    public IReadOnlyList<PartReport> Step(LabelledImages batch, Rates rates, bool updateWeighting)
    {
        if (_weighted is null && _rule is null)
        {
            return [Part(batch, meta: null, rates)];
        }

        using DisposeScope scope = NewDisposeScope();
        (LabelledImages first, LabelledImages second) = Cut(batch);
        PartReport ofFirst = Part(first, updateWeighting ? second : null, rates);
        PartReport ofSecond = Part(second, updateWeighting ? first : null, rates);
        return [ofFirst.MoveToOuter(scope), ofSecond.MoveToOuter(scope)];
    }

    /// <summary>One part, of a batch or, where meta data are held out, all of it: trains on <paramref name="train"/>; with <paramref name="meta"/> the WPN learns first.</summary>
    /// <param name="train">At least two samples.</param>
    /// <param name="meta">Meta data; null: the WPN does not learn, or there is none.</param>
    /// <param name="rates">The learning rates of this batch.</param>
    /// <returns>What it saw, in the caller's dispose scope.</returns>
    public PartReport Part(LabelledImages train, LabelledImages? meta, Rates rates)
    {
        using DisposeScope scope = NewDisposeScope();
        IForward forward = _method.Forward(train); // at θ
        Tensor? features = _weighted?.Weighting.Features(forward.CrossEntropies, forward.Logits); // φ [N, K] or [N, 2K]
        Tensor? objective = meta is null || features is null ? null : LearnWeights(forward, features, meta, rates);

        // Real update: the weights of the WPN as it is now, and the gradient of Σ_k mean_i w_ik l_ik from the same forward pass.
        Tensor weights = features is not null ? PredictWeights(features) : _rule?.Of(forward.Logits) ?? ones_like(forward.CrossEntropies); // [N, K]
        long samples = train.Labels.shape[0];
        _optimiser.Apply(_averaging.Mean(forward.Gradient(weights / samples), samples), rates.Backbone);
        return PartReport.Of(train, forward, weights, objective).MoveToOuter(scope);
    }

    /// <summary>Pseudo update and WPN update; returns the meta objective.</summary>
    private Tensor LearnWeights(IForward forward, Tensor features, LabelledImages meta, Rates rates)
    {
        using Activity? phase = Phases.Start(Phases.Weights);
        (SampleWeighting weighting, Adam optimiser) = _weighted!;

        // Pseudo update: weights by the WPN as it was, one lookahead step, the meta objective there, and its gradient by the weights.
        Tensor weights = weighting.Weights(features); // w(Θ) [N, K]
        MetaGradient gradient = _method.WeightGradient(forward, weights.detach(), meta, rates.Backbone);

        // WPN update: ∂L/∂Θ = ∂L/∂w · ∂w/∂Θ, through the small network only.
        IReadOnlyList<Tensor?> byTheta = Autograd.Gradients("the weights of the samples", [weights], [gradient.ByWeights], weighting.Network.Parameters);
        optimiser.Apply([.. _averaging.Mean(byTheta, weights.shape[0]).Select(part => part!)], rates.Meta);
        return gradient.Objective;
    }

    private Tensor PredictWeights(Tensor features)
    {
        using Activity? phase = Phases.Start(Phases.Weights);
        using IDisposable noGrad = no_grad();
        return _weighted!.Weighting.Weights(features);
    }

    private static (LabelledImages First, LabelledImages Second) Cut(LabelledImages batch)
    {
        if (batch.Labels.shape[0] < 2)
        {
            throw new ArgumentException("a batch of one sample cannot be cut in a training and a meta half.", nameof(batch));
        }

        Tensor[] images = batch.Images.chunk(2);
        Tensor[] labels = batch.Labels.chunk(2);
        return (new LabelledImages(images[0], labels[0]), new LabelledImages(images[1], labels[1]));
    }

    private sealed record Weighted(SampleWeighting Weighting, Adam Optimiser);
}

/// <summary>The learning rates of one batch.</summary>
/// <param name="Backbone">Of θ.</param>
/// <param name="Meta">Of Θ.</param>
public readonly record struct Rates(double Backbone, double Meta);

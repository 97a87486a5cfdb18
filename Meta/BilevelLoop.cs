using System.Diagnostics;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Meta;

/// <summary>
/// The bilevel loop of L2W-DEN (Han et al., ECCV 2022, Figure 3). A batch is cut into two halves: the first is trained on with the second
/// as meta data, then, after its updates, the second with the first. Each half goes through pseudo update, WPN update and real update. With
/// a weighting that does not cut the batch, the same loop trains on all of it: plain training, where every weight is 1, and
/// Meta-Weight-Net, whose meta data are held out.
/// </summary>
/// <remarks>Shapes: <c>N</c> training samples of a half batch, <c>K</c> exits. The loop itself reads nothing from the device.</remarks>
public sealed class BilevelLoop
{
    private readonly IMetaGradient _method;
    private readonly ISampleWeighting _weighting;
    private readonly Sgd _optimiser;
    private readonly IGradientCombination _combination;
    private readonly Averaging? _averaging;

    /// <summary>The loop for a network, whose parameters are θ, and a weighting, whose parameters are Θ.</summary>
    /// <param name="method">The meta-gradient method.</param>
    /// <param name="weighting">Weights samples; may learn their weights.</param>
    /// <param name="optimiser">Updates θ.</param>
    /// <param name="combination">Combines the exits' gradients into one direction.</param>
    /// <param name="averaging">
    /// Averages the gradients of θ and Θ over processes, each of which has its own shards of the halves; null: single-process training.
    /// </param>
    /// <exception cref="ArgumentException">The weighting learns, and the combination is not linear.</exception>
    public BilevelLoop(
        IMetaGradient method, ISampleWeighting weighting, Sgd optimiser, IGradientCombination combination, Averaging? averaging = null)
    {
        if (!combination.IsLinear && weighting.Learns(0))
        {
            throw new ArgumentException(
                "weights are learned through a lookahead along the sum of the exits' gradients, and this combination of them is not "
                    + "linear.",
                nameof(combination));
        }

        (_method, _weighting, _optimiser, _combination, _averaging) = (method, weighting, optimiser, combination, averaging);
    }

    /// <summary>
    /// One batch: two half batches, each the other's meta data; or all of it at once, where the weighting does not cut it.
    /// </summary>
    /// <param name="batch">If it is cut: at least two samples; of an odd number, the first half gets one more.</param>
    /// <param name="rates">The learning rates of this batch.</param>
    /// <param name="learns">Whether the weighting learns from this batch (<see cref="ISampleWeighting.Learns"/>).</param>
    /// <param name="heldOut">The meta data of a batch that is not cut; null: there are none, and the weighting does not learn.</param>
    /// <returns>A report on each half batch, or on the whole batch, in the caller's dispose scope.</returns>
    /// <exception cref="ArgumentException">A batch of one sample cannot be cut.</exception>
    public IReadOnlyList<HalfBatchReport> Step(LabelledImages batch, LearningRates rates, bool learns, LabelledImages? heldOut = null)
    {
        if (!_weighting.CutsBatch)
        {
            return [Train(batch, learns ? heldOut : null, rates)];
        }

        using DisposeScope scope = NewDisposeScope();
        (LabelledImages first, LabelledImages second) = Split(batch);
        HalfBatchReport ofFirst = Train(first, learns ? second : null, rates);
        HalfBatchReport ofSecond = Train(second, learns ? first : null, rates);
        return [ofFirst.MoveToOuter(scope), ofSecond.MoveToOuter(scope)];
    }

    /// <summary>
    /// A half batch: the weighting learns from the meta data, where there are any; then the network learns with the new weights.
    /// </summary>
    private HalfBatchReport Train(LabelledImages train, LabelledImages? meta, LearningRates rates)
    {
        using DisposeScope scope = NewDisposeScope();
        IForward forward = _method.Forward(train); // at θ
        Tensor features = _weighting.Features(forward); // φ
        Tensor? objective = meta is null ? null : LearnWeights(forward, features, meta, rates);

        // Real update: the weights from the WPN as it is now, and the gradient of Σ_k mean_i w_ik l_ik from the same forward pass.
        Tensor weights = Weights(features); // [N, K]
        long samples = weights.size(0); // N
        IReadOnlyList<Tensor?> gradient = _averaging.Mean(
            _combination.Combine(forward, weights.div(Held(samples)), _averaging), samples);
        using (StepPhases.Start(StepPhases.Update))
        {
            _optimiser.Apply(gradient, rates.Backbone);
        }

        return HalfBatchReport.Create(train, forward, weights, objective).MoveToOuter(scope);
    }

    /// <summary>Pseudo update and WPN update; returns the meta objective.</summary>
    private Tensor LearnWeights(IForward forward, Tensor features, LabelledImages meta, LearningRates rates)
    {
        using Activity? phase = StepPhases.Start(StepPhases.Weights);

        // Pseudo update: weights from the WPN before its update, one lookahead step, the meta objective there, and its gradient with
        // respect to the weights.
        Tensor weights = _weighting.Weights(features); // w(Θ) [N, K]
        MetaGradient gradient = _method.WeightGradient(forward, weights.detach(), meta, rates.Backbone);

        // WPN update: ∂L/∂Θ = ∂L/∂w · ∂w/∂Θ, through the small network only.
        IReadOnlyList<Tensor?> byTheta = _weighting.Gradient(weights, gradient.GradWeights);
        _weighting.Update(_averaging.Mean(byTheta, weights.size(0)), rates.Meta);
        return gradient.Objective;
    }

    private Tensor Weights(Tensor features)
    {
        using IDisposable noGrad = no_grad();
        return _weighting.Weights(features);
    }

    private static (LabelledImages First, LabelledImages Second) Split(LabelledImages batch)
    {
        if (batch.Labels.shape[0] < 2)
        {
            throw new ArgumentException("a batch of one sample cannot be split into a training and a meta half.", nameof(batch));
        }

        Tensor[] images = batch.Images.chunk(2);
        Tensor[] labels = batch.Labels.chunk(2);
        return (new LabelledImages(images[0], labels[0]), new LabelledImages(images[1], labels[1]));
    }
}

/// <summary>The learning rates of one batch.</summary>
/// <param name="Backbone">The learning rate of θ.</param>
/// <param name="Meta">The learning rate of Θ.</param>
public readonly record struct LearningRates(double Backbone, double Meta);

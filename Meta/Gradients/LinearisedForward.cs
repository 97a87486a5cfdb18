using System.Diagnostics;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Linearised;
using Imta.MetaWeight.Losses;

namespace Imta.MetaWeight.Meta.Gradients;

/// <summary>A forward pass and its derivative, a linear map from θ to the logits, applied and transposed without autograd.</summary>
/// <remarks>Shapes: <c>N</c> samples, <c>K</c> exits, <c>C</c> classes.</remarks>
internal sealed class LinearisedForward : IForward
{
    private readonly MultiExitNetwork _network;
    private readonly TrainingLoss _loss;
    private readonly LabelledImages _train;
    private LinearisedPass _pass;
    private Tensor[] _slopes; // ∂l_ik/∂z_ik, K × [N, C]

    public LinearisedForward(
        MultiExitNetwork network, TrainingLoss loss, LabelledImages train, NormStatistics statistics = NormStatistics.BatchAndUpdate)
    {
        (_network, _loss, _train) = (network, loss, train);
        (_pass, _slopes, CrossEntropies, Losses) = At(statistics);
        Logits = _pass.Logits;
    }

    public IReadOnlyList<Tensor> Logits { get; }

    public Tensor CrossEntropies { get; }

    public Tensor Losses { get; }

    public IReadOnlyList<Tensor?> Gradient(Tensor cotangent) => Gradient(cotangent, last: false);

    /// <inheritdoc cref="IForward.Gradient"/>
    /// <param name="cotangent"><c>[N, K]</c>.</param>
    /// <param name="last">Whether to free what the pass keeps; <see cref="Recompute"/> restores it.</param>
    public IReadOnlyList<Tensor?> Gradient(Tensor cotangent, bool last)
    {
        using Activity? phase = StepPhases.Start(StepPhases.Backward);
        return _pass.Gradient([.. _slopes.Select((_, k) => ByLogits(cotangent, k))], last);
    }

    /// <inheritdoc/>
    public IReadOnlyList<Tensor?> ExitGradient(Tensor cotangent, int exit)
    {
        using Activity? phase = StepPhases.Start(StepPhases.Backward);
        return _pass.Gradient([.. _slopes.Select((_, k) => k == exit ? ByLogits(cotangent, k) : null)]);
    }

    /// <summary>
    /// Computes the pass at θ once more: bit for bit, or, if the network rounds its features
    /// (<see cref="MultiExitNetwork.FeatureType"/>), without rounding. Batch norm's running statistics and the losses are unchanged.
    /// </summary>
    public void Recompute()
    {
        if (_network.FeatureType is not null)
        {
            (_pass, _slopes, _, _) = At(NormStatistics.Batch);
            return;
        }

        using Activity? phase = StepPhases.Start(StepPhases.Forward);
        _pass = _network.Linearise(_train.Images, parameters: null, NormStatistics.Batch);
    }

    /// <summary>The same pass in full precision, in the current dispose scope; this one if its features are not rounded.</summary>
    public LinearisedForward InFullPrecision()
        => _network.FeatureType is null ? this : new LinearisedForward(_network, _loss, _train, NormStatistics.Batch);

    /// <summary>⟨∇_θ l_ik, u⟩, <c>[N, K]</c>: the directional derivative of each loss along u.</summary>
    /// <param name="direction">u, one per parameter; null: the parameter does not move.</param>
    public Tensor Tangent(IReadOnlyList<Tensor?> direction)
    {
        using Activity? phase = StepPhases.Start(StepPhases.Tangent);
        return stack(_pass.Tangent(direction).Zip(_slopes, (tangent, slope) => tangent.mul(slope).sum([1])), 1);
    }

    private (LinearisedPass Pass, Tensor[] Slopes, Tensor CrossEntropies, Tensor Losses) At(NormStatistics statistics)
    {
        using Activity? phase = StepPhases.Start(StepPhases.Forward);
        LinearisedPass pass = _network.Linearise(_train.Images, parameters: null, statistics);
        using IDisposable grad = enable_grad();
        Tensor[] logits = [.. pass.Logits.Select(z => z.detach().requires_grad_())];
        (Tensor crossEntropies, Tensor losses) = _loss.PerSample(logits, _train.Labels, pass.Teacher); // [N, K]

        // l_ik depends only on z_ik (the teacher is detached), so the gradient of the sum consists of all slopes.
        IReadOnlyList<Tensor?> slopes = Autograd.Gradients("the sum of the losses", [losses.sum()], null, logits);
        return (pass, [.. slopes.Select(slope => slope!)], crossEntropies.detach(), losses.detach());
    }

    private Tensor ByLogits(Tensor cotangent, int k) => _slopes[k].mul(cotangent.narrow(1, k, 1)); // [N, C] · [N, 1]
}

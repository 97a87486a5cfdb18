using System.Diagnostics;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Linearised;
using Imta.MetaWeight.Losses;

namespace Imta.MetaWeight.Meta;

/// <summary>A forward pass as a linear map from θ to the losses, applied and transposed without autograd.</summary>
/// <remarks>Shapes: <c>N</c> samples, <c>K</c> exits, <c>C</c> classes.</remarks>
internal sealed class LinearisedForward : IForward
{
    private readonly MultiExitNetwork _network;
    private readonly Tensor _images;
    private readonly Tensor[] _slopes; // ∂l_ik/∂z_ik, K × [N, C]
    private LinearisedPass _pass;

    public LinearisedForward(MultiExitNetwork network, TrainingLoss loss, LabelledImages train)
    {
        (_network, _images) = (network, train.Images);
        using Activity? phase = Phases.Start(Phases.Forward);
        _pass = network.Linearise(_images, parameters: null, NormStatistics.BatchAndUpdate);
        Tensor[] logits = [.. _pass.Logits.Select(z => z.detach().requires_grad_())];
        (Tensor crossEntropies, Tensor losses) = loss.PerSample(logits, train.Labels, _pass.Teacher); // [N, K]

        // l_ik changes with z_ik alone (a teacher has no derivative), so the gradient of the sum has all the slopes.
        _slopes = [.. autograd.grad([losses.sum()], logits)];
        Logits = _pass.Logits;
        CrossEntropies = crossEntropies.detach();
        Losses = losses.detach();
    }

    public IReadOnlyList<Tensor> Logits { get; }

    public Tensor CrossEntropies { get; }

    public Tensor Losses { get; }

    public IReadOnlyList<Tensor?> Gradient(Tensor cotangent) => Gradient(cotangent, last: false);

    /// <inheritdoc cref="IForward.Gradient"/>
    /// <param name="cotangent"><c>[N, K]</c>.</param>
    /// <param name="last">Frees what the pass keeps; <see cref="Repeat"/> brings it back.</param>
    public IReadOnlyList<Tensor?> Gradient(Tensor cotangent, bool last)
    {
        using Activity? phase = Phases.Start(Phases.Backward);
        return _pass.Gradient(ByLogits(cotangent), last);
    }

    /// <summary>Computes the pass at θ once more, to the same numbers; batch norm's running statistics stay.</summary>
    public void Repeat()
    {
        using Activity? phase = Phases.Start(Phases.Forward);
        _pass = _network.Linearise(_images, parameters: null, NormStatistics.Batch);
    }

    /// <summary>⟨∇_θ l_ik, u⟩, <c>[N, K]</c>: how each loss changes as θ moves along u.</summary>
    /// <param name="direction">u, one for each parameter; null: it stays.</param>
    public Tensor Tangent(IReadOnlyList<Tensor?> direction)
    {
        using Activity? phase = Phases.Start(Phases.Tangent);
        return stack(_pass.Tangent(direction).Zip(_slopes, (tangent, slope) => tangent.mul(slope).sum([1])), 1);
    }

    private Tensor[] ByLogits(Tensor cotangent) => [.. _slopes.Select((slope, k) => slope.mul(cotangent.narrow(1, k, 1)))]; // [N, C] · [N, 1]
}

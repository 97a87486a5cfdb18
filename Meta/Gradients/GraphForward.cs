using System.Diagnostics;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Losses;

namespace Imta.MetaWeight.Meta.Gradients;

/// <summary>A forward pass that libtorch's autograd recorded: for any network with an ordinary forward pass.</summary>
internal sealed class GraphForward : IForward
{
    private readonly MultiExitNetwork _network;
    private readonly TrainingLoss _loss;
    private readonly LabelledImages _train;
    private readonly Tensor _losses;
    private readonly Tensor _teacher;

    public GraphForward(MultiExitNetwork network, TrainingLoss loss, LabelledImages train)
    {
        (_network, _loss, _train) = (network, loss, train);
        using Activity? phase = StepPhases.Start(StepPhases.Forward);
        using IDisposable grad = enable_grad();
        var pass = new Pass(NormStatistics.BatchAndUpdate);
        Tensor[] logits = network.Forward(train.Images, pass);
        _teacher = pass.Teacher ?? logits[^1].detach();
        (Tensor crossEntropies, _losses) = loss.PerSample(logits, train.Labels, _teacher); // [N, K]
        Logits = [.. logits.Select(z => z.detach())];
        CrossEntropies = crossEntropies.detach();
        Losses = _losses.detach();
    }

    public IReadOnlyList<Tensor> Logits { get; }

    public Tensor CrossEntropies { get; }

    public Tensor Losses { get; }

    public IReadOnlyList<Tensor?> Gradient(Tensor cotangent) => Gradient(cotangent, withHistory: false);

    /// <inheritdoc cref="IForward.Gradient"/>
    /// <param name="cotangent"><c>[N, K]</c>.</param>
    /// <param name="withHistory">Whether the gradient can be differentiated again, with respect to θ or the cotangent.</param>
    public IReadOnlyList<Tensor?> Gradient(Tensor cotangent, bool withHistory)
    {
        using Activity? phase = StepPhases.Start(StepPhases.Backward);
        return Autograd.Gradients(
            $"the losses of {_network.GetName()}", [_losses], [cotangent], _network.Parameters,
            retainGraph: true, createGraph: withHistory);
    }

    /// <summary>
    /// The losses of the same samples at other parameters, <c>[N, K]</c>; batch norm's running statistics and the teacher are unchanged.
    /// </summary>
    public Tensor LossesAt(IReadOnlyList<Tensor> parameters)
        => _loss.PerSample(_network.Forward(_train.Images, parameters, NormStatistics.Batch), _train.Labels, _teacher).Losses;
}

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
    private readonly Tensor[] _logits; // with history
    private readonly Tensor _losses;
    private readonly Tensor _teacher;

    public GraphForward(MultiExitNetwork network, TrainingLoss loss, LabelledImages train)
    {
        (_network, _loss, _train) = (network, loss, train);
        using Activity? phase = StepPhases.Start(StepPhases.Forward);
        using IDisposable grad = enable_grad();
        var pass = new Pass(NormStatistics.BatchAndUpdate);
        _logits = network.Forward(train.Images, pass);
        _teacher = pass.Teacher ?? _logits[^1].detach();
        (Tensor crossEntropies, _losses) = loss.PerSample(_logits, train.Labels, _teacher); // [N, K]
        Logits = [.. _logits.Select(z => z.detach())];
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

    /// <summary>From the exit's own logits, so that autograd visits only what leads to them.</summary>
    /// <inheritdoc cref="IForward.ExitGradient"/>
    public IReadOnlyList<Tensor?> ExitGradient(Tensor cotangent, int exit)
    {
        using Activity? phase = StepPhases.Start(StepPhases.Backward);
        if (!_logits[exit].requires_grad)
        {
            return new Tensor?[_network.Parameters.Count];
        }

        using Tensor byLogits = Slope(exit).mul_(cotangent.narrow(1, exit, 1)); // [N, C] · [N, 1]
        return Autograd.Gradients(
            FormattableString.Invariant($"the loss of exit {exit + 1} of {_network.GetName()}"), [_logits[exit]], [byLogits],
            _network.Parameters, retainGraph: true);
    }

    /// <summary>
    /// The losses of the same samples at other parameters, <c>[N, K]</c>; batch norm's running statistics and the teacher are unchanged.
    /// </summary>
    public Tensor LossesAt(IReadOnlyList<Tensor> parameters)
        => _loss.PerSample(_network.Forward(_train.Images, parameters, NormStatistics.Batch), _train.Labels, _teacher).Losses;

    /// <summary>∂l_ik/∂z_ik of one exit, <c>[N, C]</c>.</summary>
    private Tensor Slope(int exit)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable grad = enable_grad();
        Tensor[] logits = [.. Logits.Select(z => z.detach().requires_grad_())];
        Tensor sum = _loss.PerSample(logits, _train.Labels, _teacher).Losses.sum();
        return scope.MoveToOuter(Autograd.Gradients("the sum of the losses", [sum], null, logits)[exit]!);
    }
}

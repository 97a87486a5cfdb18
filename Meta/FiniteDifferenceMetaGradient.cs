using System.Diagnostics;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Losses;

namespace Imta.MetaWeight.Meta;

/// <summary>
/// The meta gradient as <see cref="ForwardMetaGradient"/> has it, but with the directional derivative of the losses replaced by a central
/// difference quotient: (l(θ + h·u) − l(θ − h·u)) / 2h with h = ε^⅓ · ‖θ‖ / ‖u‖, ε the precision of the element type. An approximation, for
/// any network whose gradients are those of a function. In float32 it is off by 1 per cent and more: rounding and ReLU's corners ask for opposite steps.
/// </summary>
public sealed class FiniteDifferenceMetaGradient : IMetaGradient
{
    private const double Least = 1e-30;

    private readonly MultiExitNetwork _network;
    private readonly Sgd _optimiser;
    private readonly TrainingLoss _loss;
    private readonly MetaObjective _objective;
    private readonly Averaging? _averaging;

    /// <summary>A method for this network, its optimiser (whose step the lookahead is), the loss l of training and the meta objective.</summary>
    /// <param name="network">The backbone.</param>
    /// <param name="optimiser">Of its parameters.</param>
    /// <param name="loss">l.</param>
    /// <param name="objective">L.</param>
    /// <param name="averaging">Of the lookahead's gradients over processes (<see cref="LookaheadScope.Global"/>); null: each looks ahead for itself.</param>
    /// <exception cref="ArgumentException">The network's gradients are not those of a function (<see cref="MultiExitNetwork.HasTrueGradients"/>).</exception>
    public FiniteDifferenceMetaGradient(MultiExitNetwork network, Sgd optimiser, TrainingLoss loss, MetaObjective objective, Averaging? averaging = null)
    {
        if (!network.HasTrueGradients)
        {
            throw new ArgumentException("with Gradient Equilibrium, or a gradient that stops between exits, the update is no gradient of a function, and meta.gradient=finiteDifference cannot see it: take forward or unrolled.", nameof(network));
        }

        (_network, _optimiser, _loss, _objective, _averaging) = (network, optimiser, loss, objective, averaging);
    }

    /// <inheritdoc/>
    public IForward Forward(LabelledImages train) => new GraphForward(_network, _loss, train);

    /// <inheritdoc/>
    public MetaGradient WeightGradient(IForward forward, Tensor weights, LabelledImages meta, double rate)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        long samples = weights.shape[0];
        IReadOnlyList<Tensor?> gradients = _averaging.Mean(forward.Gradient(weights / samples), samples); // G(w)
        Tensor[] ahead = _optimiser.Lookahead(gradients, rate); // θ′
        (Tensor objective, IReadOnlyList<Tensor?> v) = _objective.Differentiate(_network, ahead, meta);
        Tensor?[] direction = _optimiser.LookaheadDirection(gradients, _averaging.Mean(v, meta.Labels.shape[0]), rate); // u
        Tensor slopes = Slopes((GraphForward)forward, direction); // ⟨∇_θ l_ik, u⟩ [N, K]
        return new MetaGradient(slopes.mul(-1.0 / samples).MoveToOuterDisposeScope(), objective.MoveToOuterDisposeScope());
    }

    private Tensor Slopes(GraphForward forward, Tensor?[] direction)
    {
        using Activity? phase = Phases.Start(Phases.Tangent);
        Tensor length = Norm(direction.OfType<Tensor>()).clamp(min: Least); // where u = 0, the quotient is 0 too
        Tensor step = Norm(_network.Parameters).div(length).mul(Math.Cbrt(Precision(_network.Parameters[0].dtype)));
        return LossesAt(step).sub(LossesAt(step.neg())).div(step.mul(2));

        Tensor LossesAt(Tensor distance) => forward.LossesAt(
            [.. _network.Parameters.Zip(direction, (parameter, part) => part is null ? parameter : parameter.detach() + (part * distance))]);
    }

    private static Tensor Norm(IEnumerable<Tensor> tensors) => stack([.. tensors.Select(tensor => tensor.pow(2).sum())]).sum().sqrt();

    private static double Precision(ScalarType type) => type == ScalarType.Float64 ? double.BitIncrement(1) - 1 : float.BitIncrement(1) - 1;
}

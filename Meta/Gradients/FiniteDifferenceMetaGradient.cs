using System.Diagnostics;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Losses;

namespace Imta.MetaWeight.Meta.Gradients;

/// <summary>
/// The meta gradient as in <see cref="ForwardMetaGradient"/>, but with the directional derivative of the losses replaced by a central
/// difference quotient: (l(θ + h·u) − l(θ − h·u)) / 2h with h = ε^⅓ · ‖θ‖ / ‖u‖, ε the precision of the element type. An approximation, for
/// any network whose gradients are those of its forward function. In float32 its error is 1 % or more: rounding calls for larger steps,
/// ReLU's kinks for smaller ones.
/// </summary>
public sealed class FiniteDifferenceMetaGradient : IMetaGradient
{
    private const double MinNorm = 1e-30;

    private readonly MultiExitNetwork _network;
    private readonly Lookahead _lookahead;
    private readonly TrainingLoss _loss;
    private readonly MetaObjective _objective;

    /// <summary>A method for this network, its lookahead, the training loss l and the meta objective.</summary>
    /// <param name="network">The backbone.</param>
    /// <param name="lookahead">The lookahead from its parameters.</param>
    /// <param name="loss">l.</param>
    /// <param name="objective">L.</param>
    /// <exception cref="ArgumentException">
    /// The network's gradients are not those of its forward function (<see cref="MultiExitNetwork.HasTrueGradients"/>).
    /// </exception>
    public FiniteDifferenceMetaGradient(MultiExitNetwork network, Lookahead lookahead, TrainingLoss loss, MetaObjective objective)
    {
        if (!network.HasTrueGradients)
        {
            throw new ArgumentException(
                "with Gradient Equilibrium or stopped gradients the update is not the gradient of any function, so "
                + "meta.gradient=finiteDifference cannot be used; use forward or unrolled.",
                nameof(network));
        }

        (_network, _lookahead, _loss, _objective) = (network, lookahead, loss, objective);
    }

    /// <inheritdoc/>
    public IForward Forward(LabelledImages train) => new GraphForward(_network, _loss, train);

    /// <inheritdoc/>
    public MetaGradient WeightGradient(IForward forward, Tensor weights, LabelledImages meta, double rate)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        long samples = weights.shape[0];
        VirtualStep ahead = _lookahead.Along(forward.Gradient(weights.div(Held(samples))), samples, rate); // θ′
        (Tensor objective, IReadOnlyList<Tensor?> v) = _objective.Differentiate(_network, ahead.Parameters, meta);
        Tensor?[] direction = ahead.Direction(v, meta.Labels.shape[0]); // u
        Tensor slopes = Slopes((GraphForward)forward, direction); // ⟨∇_θ l_ik, u⟩ [N, K]
        return new MetaGradient(slopes.mul(Held(-1.0 / samples)).MoveToOuterDisposeScope(), objective.MoveToOuterDisposeScope());
    }

    private Tensor Slopes(GraphForward forward, Tensor?[] direction)
    {
        using Activity? phase = StepPhases.Start(StepPhases.Tangent);
        Tensor length = Norm(direction.OfType<Tensor>()).clamp(min: Held(MinNorm)); // if u = 0, the quotient is 0 too
        Tensor step = Norm(_network.Parameters).div(length).mul(Held(Math.Cbrt(Precision(_network.Parameters[0].dtype))));
        return LossesAt(step).sub(LossesAt(step.neg())).div(step.mul(Held(2)));

        Tensor LossesAt(Tensor distance) => forward.LossesAt(
            [
                .. _network.Parameters.Zip(
                    direction, (parameter, part) => part is null ? parameter : parameter.detach().add(part * distance, One))
            ]);
    }

    private static Tensor Norm(IEnumerable<Tensor> tensors) => stack([.. tensors.Select(tensor => tensor.pow(Held(2)).sum())]).sum().sqrt();

    private static double Precision(ScalarType type) => type == ScalarType.Float64 ? double.BitIncrement(1) - 1 : float.BitIncrement(1) - 1;
}

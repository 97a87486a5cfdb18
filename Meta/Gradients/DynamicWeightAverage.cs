using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Imta.MetaWeight.Meta.Gradients;

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>Settings of <see cref="DynamicWeightAverage"/>.</summary>
public sealed record DynamicWeightAverageOptions
{
    [Description("Temperature of the softmax over the exits; the higher, the more equal their weights")]
    [Range(0.0, double.MaxValue, MinimumIsExclusive = true)]
    public double Temperature { get; init; } = 2;
}

#pragma warning restore CS1591

/// <summary>
/// Dynamic Weight Average (Liu et al., "End-to-End Multi-Task Learning with Attention", CVPR 2019, eq. 7): exits whose losses fall slowly
/// count more. In epoch e, v = K·softmax(L[e−1]/L[e−2]/T) with L the mean losses over an epoch's steps; in the first two epochs v = 1.
/// </summary>
/// <param name="options">T.</param>
public sealed class DynamicWeightAverage(DynamicWeightAverageOptions options) : LossWeighting
{
    private const string Sum = "loss_sum", Steps = "steps", Last = "last_losses", Before = "losses_before";

    /// <inheritdoc/>
    public override Tensor Weights(Tensor losses)
    {
        Keep(Sum, Kept(Sum)?.add(losses, One) ?? losses);
        Keep(Steps, Kept(Steps)?.add(Held(1), One) ?? ones_like(losses));
        return Kept(Before) is { } before
            ? Kept(Last)!.div(before).div(Held(options.Temperature)).softmax(0).mul(Held(losses.size(0)))
            : ones_like(losses);
    }

    /// <inheritdoc/>
    public override void EndEpoch()
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        Keep(Before, Kept(Last));
        Keep(Last, Kept(Sum)?.div(Kept(Steps)!));
        Keep(Sum, null);
        Keep(Steps, null);
    }
}

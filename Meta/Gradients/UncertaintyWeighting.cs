using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Imta.MetaWeight.Meta.Gradients;

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>Settings of <see cref="UncertaintyWeighting"/>.</summary>
public sealed record UncertaintyOptions
{
    [Description("Learning rate of the log variances, constant over all epochs")]
    [Range(0.0, double.MaxValue, MinimumIsExclusive = true)]
    public double Rate { get; init; } = 0.025;

    [Description("Initial log variance of each exit; its weight is exp(-start)/2")]
    [Range(-20.0, 20.0)]
    public double Start { get; init; }
}

#pragma warning restore CS1591

/// <summary>
/// Uncertainty weighting (Kendall et al., "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and Semantics", CVPR
/// 2018): network and log variances s minimise Σ_k (l_k e^{−s_k} + s_k)/2, the latter by plain gradient descent on s; v_k = e^{−s_k}/2.
/// </summary>
/// <param name="options">The initial s, and its learning rate.</param>
public sealed class UncertaintyWeighting(UncertaintyOptions options) : LossWeighting
{
    private const string LogVariances = "log_variances";
    private const double Bound = 20; // on |s|: at a loss of 0, s would fall without end

    /// <summary>e^{−s_k}/2.</summary>
    public static Tensor WeightsAt(Tensor s) => s.neg().exp().mul(Held(0.5));

    /// <summary>The gradient of the total loss with respect to s: (1 − l_k e^{−s_k})/2.</summary>
    /// <param name="s">The log variances.</param>
    /// <param name="losses">l.</param>
    public static Tensor Slope(Tensor s, Tensor losses) => losses.mul(WeightsAt(s)).neg().add(Held(0.5), One);

    /// <inheritdoc/>
    public override Tensor Weights(Tensor losses)
    {
        Tensor s = Kept(LogVariances) ?? full_like(losses, Held(options.Start));
        Tensor weights = WeightsAt(s);
        Keep(LogVariances, s.add(Slope(s, losses), Held(-options.Rate)).clamp(Held(-Bound), Held(Bound)));
        return weights;
    }
}

using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Imta.MetaWeight.Meta.Gradients;

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>Settings of <see cref="LossEqual"/>.</summary>
public sealed record LossEqualOptions
{
    [Description("Momentum of the moving averages of the exits' losses")]
    [Range(0.0, 1.0, MaximumIsExclusive = true)]
    public double Momentum { get; init; } = 0.9;
}

#pragma warning restore CS1591

/// <summary>
/// Weights exits so that their losses count equally: the option <c>loss_equal</c> in the code of BoostNet (Yu et al., "Boosted Dynamic
/// Neural Networks", AAAI 2023): v_k = mean(E)/E_k with moving averages E of the losses, this step's included.
/// </summary>
/// <param name="options">The averages' momentum.</param>
public sealed class LossEqual(LossEqualOptions options) : LossWeighting
{
    private const string Average = "loss_average";

    /// <inheritdoc/>
    public override Tensor Weights(Tensor losses)
    {
        Tensor average = Kept(Average)?.mul(Held(options.Momentum)).add(losses, Held(1 - options.Momentum)) ?? losses;
        Keep(Average, average);
        return average.mean().div(average);
    }
}

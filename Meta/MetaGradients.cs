using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Losses;

namespace Imta.MetaWeight.Meta;

/// <summary>From the options to the way the loop differentiates.</summary>
public static class MetaGradients
{
    /// <summary>
    /// The method of <see cref="MetaOptions.Gradient"/>; <see cref="MetaGradientMethod.Unrolled"/>, to the same numbers, for
    /// <see cref="MetaGradientMethod.Forward"/> where the network offers no linearised pass.
    /// </summary>
    /// <param name="options">Method, objective and shares.</param>
    /// <param name="network">The backbone.</param>
    /// <param name="optimiser">Its optimiser, whose step the lookahead is.</param>
    /// <param name="loss">l.</param>
    /// <param name="averaging">Of gradients over processes, for <see cref="LookaheadScope.Global"/>; null: this one trains alone.</param>
    /// <exception cref="ArgumentOutOfRangeException">No shares follow from <see cref="MetaOptions.Q"/>.</exception>
    public static IMetaGradient Build(MetaOptions options, MultiExitNetwork network, Sgd optimiser, TrainingLoss loss, Averaging? averaging = null)
    {
        var objective = new MetaObjective(options, network.Exits);
        Averaging? ahead = options.Lookahead == LookaheadScope.Global ? averaging : null;
        return options.Gradient switch
        {
            MetaGradientMethod.Forward when network.IsLinearisable => new ForwardMetaGradient(network, optimiser, loss, objective, options.Memory, ahead),
            MetaGradientMethod.FiniteDifference => new FiniteDifferenceMetaGradient(network, optimiser, loss, objective, ahead),
            MetaGradientMethod.Forward or MetaGradientMethod.Unrolled => new UnrolledMetaGradient(network, optimiser, loss, objective, ahead),
            _ => throw new ArgumentOutOfRangeException(nameof(options), options.Gradient, "there is no such method"),
        };
    }
}

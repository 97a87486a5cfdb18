using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Meta;

/// <summary>Creates the meta-gradient method for the options.</summary>
public static class MetaGradients
{
    /// <summary>
    /// The method of <see cref="MetaOptions.Gradient"/>. If the network does not support linearised passes,
    /// <see cref="MetaGradientMethod.Unrolled"/>, the same up to rounding, replaces <see cref="MetaGradientMethod.Forward"/>.
    /// </summary>
    /// <param name="options">Method, objective, shares, lookahead, memory.</param>
    /// <param name="network">The backbone.</param>
    /// <param name="optimiser">Its optimiser, whose step the lookahead takes.</param>
    /// <param name="loss">The training loss l.</param>
    /// <param name="averaging">Averages gradients over processes, for <see cref="LookaheadScope.Global"/>; null: single-process
    /// training.</param>
    /// <exception cref="ArgumentOutOfRangeException"><see cref="MetaOptions.Q"/> does not yield valid shares.</exception>
    public static IMetaGradient Create(
        MetaOptions options, MultiExitNetwork network, Sgd optimiser, TrainingLoss loss, Averaging? averaging = null)
    {
        MetaObjective objective = Objective(options, network.Exits);
        var lookahead = new Lookahead(optimiser, options.Lookahead == LookaheadScope.Global ? averaging : null);
        return options.Gradient switch
        {
            MetaGradientMethod.Forward when network.IsLinearisable
                => new ForwardMetaGradient(network, lookahead, loss, objective, options.Memory),
            MetaGradientMethod.FiniteDifference => new FiniteDifferenceMetaGradient(network, lookahead, loss, objective),
            MetaGradientMethod.Forward or MetaGradientMethod.Unrolled => new UnrolledMetaGradient(network, lookahead, loss, objective),
            _ => throw new ArgumentOutOfRangeException(nameof(options), options.Gradient, "unknown method"),
        };
    }

    /// <summary>The meta objective for the options.</summary>
    /// <param name="options">Its kind, and q for the shares.</param>
    /// <param name="exits">K.</param>
    /// <exception cref="ArgumentOutOfRangeException"><see cref="MetaOptions.Q"/> does not yield valid shares.</exception>
    public static MetaObjective Objective(MetaOptions options, int exits)
        => new(options.Objective == MetaObjectiveKind.Allocated ? ExitShares.FromQ(options.Q, exits) : null);
}

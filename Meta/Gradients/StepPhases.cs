using System.Diagnostics;

namespace Imta.MetaWeight.Meta.Gradients;

/// <summary>
/// The phases of a training step, as .NET activities: an <see cref="ActivityListener"/> sees them start and stop on the thread that
/// runs the step. They may be nested. Without a listener they cost nothing.
/// </summary>
public static class StepPhases
{
    /// <summary>The name of the activity source.</summary>
    public const string Source = "Imta.MetaWeight";

    /// <summary>The forward pass of the training half at θ.</summary>
    public const string Forward = "forward";

    /// <summary>The gradient of the weighted loss at θ.</summary>
    public const string Backward = "backward";

    /// <summary>From the exits' gradients to one direction.</summary>
    public const string Combination = "combination";

    /// <summary>The virtual step from θ to θ′.</summary>
    public const string Lookahead = "lookahead";

    /// <summary>Forward and backward pass of the meta half at θ′.</summary>
    public const string Meta = "meta";

    /// <summary>From the meta gradient at θ′ to the weights, through a second-order graph.</summary>
    public const string SecondOrder = "second order";

    /// <summary>From the meta gradient at θ′ to the weights, by a directional derivative at θ.</summary>
    public const string Tangent = "tangent";

    /// <summary>The weight-prediction network: forward, backward and update.</summary>
    public const string Weights = "weights";

    /// <summary>Gradient averaging over processes.</summary>
    public const string Averaging = "averaging";

    /// <summary>The update of θ.</summary>
    public const string Update = "update";

    private static readonly ActivitySource Activities = new(Source);

    /// <summary>Starts a phase, which ends when the result is disposed; null without a listener.</summary>
    internal static Activity? Start(string phase) => Activities.StartActivity(phase);
}

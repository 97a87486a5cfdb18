using System.Diagnostics;

namespace Imta.MetaWeight.Meta.Gradients;

/// <summary>
/// The parts of a training step, as activities of .NET: an <see cref="ActivityListener"/> sees them start and stop on the thread that
/// steps. They may lie within each other. Where nobody listens they cost nothing.
/// </summary>
public static class Phases
{
    /// <summary>The name of the activities' source.</summary>
    public const string Source = "Imta.MetaWeight";

    /// <summary>The forward pass of the training half at θ.</summary>
    public const string Forward = "forward";

    /// <summary>The gradient of the weighted loss at θ.</summary>
    public const string Backward = "backward";

    /// <summary>The virtual step from θ to θ′.</summary>
    public const string Lookahead = "lookahead";

    /// <summary>Forward and backward pass of the meta half at θ′.</summary>
    public const string Meta = "meta";

    /// <summary>From the meta gradient at θ′ to the weights, by a second-order graph.</summary>
    public const string SecondOrder = "second order";

    /// <summary>From the meta gradient at θ′ to the weights, by a directional derivative at θ.</summary>
    public const string Tangent = "tangent";

    /// <summary>The weight-prediction network: forward, backward and its update.</summary>
    public const string Weights = "weights";

    /// <summary>Means of gradients over processes.</summary>
    public const string Averaging = "averaging";

    /// <summary>The update of θ.</summary>
    public const string Update = "update";

    private static readonly ActivitySource Activities = new(Source);

    /// <summary>Starts a phase, which ends when the result is disposed; null where nobody listens.</summary>
    internal static Activity? Start(string phase) => Activities.StartActivity(phase);
}

using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Experiments.Benchmarks;

/// <summary>A kind of training step.</summary>
/// <param name="Name">What tables call it.</param>
/// <param name="Meta">How it learns weights, or that it does not.</param>
internal sealed record StepKind(string Name, MetaOptions Meta)
{
    /// <summary>Parts of a batch: a step without weights is compared on half a batch.</summary>
    public int Parts => Meta.Enabled ? 2 : 1;

    /// <summary>Without weights.</summary>
    public static StepKind Plain(MetaOptions meta) => new("plain", meta with { Enabled = false, Gradient = MetaGradientMethod.Forward });

    /// <summary>With learned weights.</summary>
    public static StepKind Weighted(MetaOptions meta, MetaGradientMethod method)
        => new(SettingsSchema.YamlName(method.ToString()), meta with { Enabled = true, Weights = WeightRule.Predicted, Interval = 1, Gradient = method });

    /// <summary>All that are compared: without weights, by ordinary autograd too, and with weights by each method; forward in both ways to use memory.</summary>
    public static StepKind[] All(MetaOptions meta, IReadOnlyList<MetaGradientMethod> methods)
    {
        StepKind plain = Plain(meta);
        var kinds = new List<StepKind> { plain, new("plain, autograd", plain.Meta with { Gradient = MetaGradientMethod.Unrolled }) };
        kinds.AddRange(methods.Select(method => Weighted(meta with { Memory = MetaMemory.Normal }, method)));
        if (kinds.Find(kind => kind.Meta is { Enabled: true, Gradient: MetaGradientMethod.Forward }) is { } forward)
        {
            kinds.Add(new StepKind("forward, low memory", forward.Meta with { Memory = MetaMemory.Low }));
        }

        return [.. kinds];
    }
}

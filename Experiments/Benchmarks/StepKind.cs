using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Experiments.Benchmarks;

/// <summary>A kind of training step.</summary>
/// <param name="Name">Its name in tables.</param>
/// <param name="Meta">How it learns weights, if it does.</param>
/// <param name="IsPublished">Whether it follows the published code (<see cref="PublishedMetaGradient"/>).</param>
/// <param name="Combination">How it combines the gradients of the exits; null: as configured.</param>
internal sealed record StepKind(string Name, MetaSettings Meta, bool IsPublished = false, string? Combination = null)
{
    /// <summary>Half batches per step: a step without weights is timed on half a batch.</summary>
    public int Halves => Meta.Enabled ? 2 : 1;

    /// <summary>Without sample weights.</summary>
    public static StepKind Plain(MetaSettings meta) => new("plain", meta with { Enabled = false, Gradient = MetaGradientMethod.Forward });

    /// <summary>With learned sample weights.</summary>
    public static StepKind Weighted(MetaSettings meta, MetaGradientMethod method)
        => new(
            SettingsSchema.YamlName(method.ToString()),
            meta with { Enabled = true, Weights = meta.Weights.Choose(WeightingMethod.Predicted.Name), Interval = 1, Gradient = method },
            Combination: CombinationMethod.Sum.Name); // the only one that allows learned weights

    /// <summary>
    /// Without sample weights, by each combination of the gradients of the exits; PCGrad also with plain autograd, which runs a separate
    /// backward pass from each exit's loss.
    /// </summary>
    public static StepKind[] Combinations(MetaSettings meta)
    {
        StepKind plain = Plain(meta) with { Combination = CombinationMethod.Sum.Name };
        string pcGrad = CombinationMethod.PcGrad.Name;
        return
        [
            plain,
            .. Registries.Combinations.Names.Where(name => name != plain.Combination)
                .Select(name => plain with { Name = name, Combination = name }),
            Autograd(plain with { Name = pcGrad, Combination = pcGrad }),
        ];
    }

    /// <summary>
    /// All kinds compared: without weights (also with plain autograd), with weights by each method (forward mode in both memory modes), and
    /// the published sequence.
    /// </summary>
    public static StepKind[] All(MetaSettings meta, IReadOnlyList<MetaGradientMethod> methods, bool published)
    {
        StepKind plain = Plain(meta);
        var kinds = new List<StepKind> { plain, Autograd(plain) };
        kinds.AddRange(methods.Select(method => Weighted(meta with { Memory = MetaMemory.Normal }, method)));
        if (kinds.Find(kind => kind.Meta is { Enabled: true, Gradient: MetaGradientMethod.Forward }) is { } forward)
        {
            kinds.Add(new StepKind("forward, low memory", forward.Meta with { Memory = MetaMemory.Low }));
        }

        if (published)
        {
            kinds.Add(Weighted(meta, MetaGradientMethod.Unrolled) with { Name = "published", IsPublished = true });
        }

        return [.. kinds];
    }

    private static StepKind Autograd(StepKind plain)
        => plain with { Name = $"{plain.Name}, autograd", Meta = plain.Meta with { Gradient = MetaGradientMethod.Unrolled } };
}

using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Imta.MetaWeight.Meta.Gradients;

namespace ExtensionHost;

public sealed record NormalisedSumOptions
{
    [Description("Norm that each exit's gradient gets")]
    [Range(0.0, double.MaxValue, MinimumIsExclusive = true)]
    public double Norm { get; init; } = 1;
}

/// <summary><c>modifiers.combination=normalised</c>: the sum of the exits' gradients, all of one norm.</summary>
public sealed class NormalisedSum(NormalisedSumOptions own) : GramCombination
{
    public static CombinationMethod Method { get; } = CombinationMethod.Create<NormalisedSumOptions>(
        "normalised", isLinear: false, (own, _) => new NormalisedSum(own));

    protected override double[] Coefficients(double[,] gram) // gram: the gradients' products [K, K]
        => [.. Enumerable.Range(0, gram.GetLength(0)).Select(k => own.Norm / Math.Sqrt(Math.Max(gram[k, k], 1e-30)))];
}

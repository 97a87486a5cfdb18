using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Imta.MetaWeight.Backbones.Linearised;

namespace Imta.MetaWeight.Backbones;

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>Exits as an additive model (BoostNet; Yu et al., AAAI 2023).</summary>
public sealed record BoostingOptions
{
    [Description("Boosting (BoostNet): each exit adds to the earlier exits' prediction and learns the residual")]
    public bool Enabled { get; init; }

    [Description("Prediction reweighting: factor r of the earlier exits' logits; with lastReweighting, its value at the first exit")]
    [Range(0.0, 1.0)]
    public double Reweighting { get; init; } = 0.5;

    [Description("Factor r at the last exit, reached in equal steps from the first; null: the same at every exit")]
    [Range(0.0, 1.0)]
    public double? LastReweighting { get; init; }
}

#pragma warning restore CS1591

/// <summary>
/// Boosted exits (BoostNet; Yu et al., AAAI 2023): F_1 = o_1, F_k = o_k + r F_{k−1} for the outputs o of the heads. The earlier exits'
/// sum is a constant for the loss of exit k. In training, r is that of exit k − 1; in evaluation, that of exit k, as in the published code.
/// The two differ only if r changes from exit to exit.
/// </summary>
internal sealed class Boosting(BoostingOptions options, int exits)
{
    /// <summary>F <c>[N, C]</c> of exit <paramref name="k"/> (0 … K − 1).</summary>
    /// <param name="k">The exit.</param>
    /// <param name="output">o <c>[N, C]</c> of its head.</param>
    /// <param name="earlier">F <c>[N, C]</c> of the exit before it; null at the first.</param>
    /// <param name="pass">The pass.</param>
    public Tensor Add(int k, Tensor output, Tensor? earlier, Pass pass)
    {
        if (!options.Enabled || earlier is null)
        {
            return output;
        }

        double factor = Reweighting(pass.Statistics == NormStatistics.Running ? k : k - 1);
        Tensor sum = output.add(earlier.detach().mul(Held(factor)), One);
        pass.Cost?.Elementwise(sum);
        pass.Tape?.Add(new Shift(), sum, output);
        return sum;
    }

    private double Reweighting(int k)
    {
        double first = options.Reweighting, last = options.LastReweighting ?? first;
        return first + ((last - first) * k / Math.Max(1, exits - 1));
    }

    /// <summary>Tangent and cotangent of o_k plus a constant.</summary>
    private sealed class Shift : LinearMap
    {
        public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? destination) => inputs[0];

        public override IReadOnlyList<Tensor?> Cotangent(
            Tensor output, IReadOnlyList<bool> needed, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient) => [output];
    }
}

using System.ComponentModel;
using Imta.MetaWeight.Backbones.Linearised;

namespace Imta.MetaWeight.Backbones;

/// <summary>Which of a block's output features Gradient Equilibrium rescales.</summary>
public enum EquilibriumScales
{
    /// <summary>The last one, which is the head's input: MSDNet's coarsest scale, RANet's feature before the head.</summary>
    Head,

    /// <summary>All features the block passes on.</summary>
    All,
}

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>Gradient Equilibrium (IMTA, section 3.1): a block's gradient does not grow with the number of exits after it.</summary>
public sealed record EquilibriumOptions
{
    [Description(
        "Gradient Equilibrium: rescales gradients at each exit so that a block's total gradient does not grow with the number of exits "
        + "after it; the forward pass is unchanged")]
    public bool Enabled { get; init; }

    [Description("Which features are rescaled: the one the head reads (as in the published code), or all features a block passes on")]
    public EquilibriumScales Scales { get; init; } = EquilibriumScales.Head;
}

#pragma warning restore CS1591

/// <summary>
/// Gradient Equilibrium (IMTA, section 3.1). At exit k of K, R(x; s), which has the value of x and s times its derivative, is passed to the
/// head with s = 1/(K − k + 1) and on to the next block with s = (K − k)/(K − k + 1). So the gradient of loss j reaches block i, i ≤ j,
/// scaled by 1/(K − i + 1) (eq. 5), regardless of j: the total gradient of a block does not grow with the K − i + 1 losses after it.
/// </summary>
internal sealed class GradientEquilibrium(EquilibriumOptions options, int exits)
{
    /// <summary>The features after block <paramref name="k"/> (0 … K − 1) as the head reads them, and as they are passed on.</summary>
    public (Tensor[] Read, Tensor[] Passed) At(int k, Tensor[] features, Pass pass)
    {
        if (!options.Enabled)
        {
            return (features, features);
        }

        double exitsLeft = exits - k; // including this one
        Tensor[] passed = k == exits - 1 ? [] : Rescaled(features, (exitsLeft - 1) / exitsLeft, pass);
        return (Rescaled(features, 1 / exitsLeft, pass), passed);
    }

    private Tensor[] Rescaled(Tensor[] features, double slope, Pass pass)
    {
        int first = options.Scales == EquilibriumScales.All ? 0 : features.Length - 1;
        return [.. features[..first], .. features[first..].Select(feature => Rescale(feature, slope, pass))];
    }

    /// <summary>R(x; slope): the value of x, bit for bit, with slope times its derivative.</summary>
    private static Tensor Rescale(Tensor x, double slope, Pass pass)
    {
        if (pass.Tape is { } tape)
        {
            Tensor y = x.detach();
            tape.Add(new Scaling(slope), y, x);
            return y;
        }

        // Subtracting 0 preserves −0.
        return is_grad_enabled() ? x.detach().sub(x.detach().sub(x).mul(Held(slope))) : x;
    }

    private sealed class Scaling(double slope) : LinearMap
    {
        public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? destination)
            => inputs[0]?.mul(Held(slope));

        public override IReadOnlyList<Tensor?> Cotangent(
            Tensor output, IReadOnlyList<bool> needed, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient)
            => [output.mul(Held(slope))];
    }
}

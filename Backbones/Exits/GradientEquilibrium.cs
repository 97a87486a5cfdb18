using Imta.MetaWeight.Backbones.Layers;

namespace Imta.MetaWeight.Backbones.Exits;

/// <summary>
/// Gradient Equilibrium (IMTA, section 3.1). Where exit k of K stands, R(x; s), with the value of x and s times its derivative, goes to
/// the head with s = 1/(K − k + 1) and on to the next block with s = (K − k)/(K − k + 1). So the gradient of loss j reaches block i, i ≤ j,
/// times 1/(K − i + 1) (eq. 5), whatever j is: the K − i + 1 losses behind a block pull it as one would.
/// </summary>
internal sealed class GradientEquilibrium(EquilibriumOptions options, int exits)
{
    /// <summary>What the head reads, and what goes on, of the features behind block <paramref name="k"/> (0 … K − 1).</summary>
    public (Tensor[] Read, Tensor[] Passed) At(int k, Tensor[] features, Pass pass)
    {
        if (!options.Enabled)
        {
            return (features, features);
        }

        double exitsLeft = exits - k; // this one included
        Tensor[] passed = k == exits - 1 ? [] : Rescaled(features, (exitsLeft - 1) / exitsLeft, pass);
        return (Rescaled(features, 1 / exitsLeft, pass), passed);
    }

    private Tensor[] Rescaled(Tensor[] features, double slope, Pass pass)
    {
        int first = options.Scales == EquilibriumScales.All ? 0 : features.Length - 1;
        return [.. features[..first], .. features[first..].Select(feature => Operators.Rescale(feature, slope, pass))];
    }
}

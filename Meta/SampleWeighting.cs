using Imta.MetaWeight.Allocation;

namespace Imta.MetaWeight.Meta;

/// <summary>From a sample's exits to its weights: w = 1 + ε · centre(g(φ; Θ)) (L2W-DEN, section 3.2).</summary>
/// <remarks>Shapes: <c>N</c> samples, <c>K</c> exits.</remarks>
public sealed class SampleWeighting
{
    private readonly MetaOptions _options;

    /// <summary>Weighting by a network.</summary>
    public SampleWeighting(WeightPredictionNetwork network, MetaOptions options)
    {
        Network = network;
        _options = options;
    }

    /// <summary>g.</summary>
    public WeightPredictionNetwork Network { get; }

    /// <summary>The features of one sample: K, or 2K when both losses and confidences are read.</summary>
    public static int FeatureCount(WeightFeatures features, int exits) => features == WeightFeatures.Both ? 2 * exits : exits;

    /// <summary>φ <c>[N, K]</c> or <c>[N, 2K]</c>, without history: plain cross-entropies, confidences, or both beside each other.</summary>
    /// <param name="crossEntropies"><c>[N, K]</c>.</param>
    /// <param name="logits">K × <c>[N, C]</c>.</param>
    public Tensor Features(Tensor crossEntropies, IReadOnlyList<Tensor> logits)
    {
        using IDisposable noGrad = no_grad();
        return _options.Features switch
        {
            WeightFeatures.Loss => crossEntropies.detach(),
            WeightFeatures.Confidence => Confidence.PerSample(logits),
            _ => cat([crossEntropies.detach(), Confidence.PerSample(logits)], 1),
        };
    }

    /// <summary>w <c>[N, K]</c>, with the history that leads to Θ.</summary>
    public Tensor Weights(Tensor features)
    {
        Tensor output = Network.Forward(features); // [N, K]
        Tensor mean = _options.Centring switch
        {
            Centring.Col => output.mean([1], keepdim: true), // [N, 1]
            Centring.Row => output.mean([0], keepdim: true), // [1, K]
            _ => output.mean(), // []
        };
        return output.sub(mean).mul(_options.Epsilon).add(1);
    }
}

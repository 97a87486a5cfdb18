using Imta.MetaWeight.Allocation;

namespace Imta.MetaWeight.Meta;

/// <summary>
/// From a sample's exits to its weights: w = 1 + ε · centre(g(φ; Θ)) (L2W-DEN, section 3.2); or, exit by exit, g(φ_k; Θ) scaled to mean 1 over the
/// samples, as the published code of Meta-Weight-Net (Shu et al., NeurIPS 2019) has it on its one exit.
/// </summary>
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

    /// <summary>What the network reads: features of a sample (K, or 2K when both losses and confidences are read), or of a sample at an exit (1 or 2).</summary>
    public static int Inputs(MetaOptions options, int exits) => (options.Features == WeightFeatures.Both ? 2 : 1) * Outputs(options, exits);

    /// <summary>What the network answers: a number for each exit, or for the one exit.</summary>
    public static int Outputs(MetaOptions options, int exits) => options.Wpn.Output == WpnOutput.Sigmoid ? 1 : exits;

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
        if (_options.Wpn.Output == WpnOutput.Tanh)
        {
            return Perturbed(Network.Forward(features), _options);
        }

        long samples = features.shape[0], perExit = _options.Features == WeightFeatures.Both ? 2 : 1;
        Tensor ofExits = features.view(samples, perExit, -1).transpose(1, 2).reshape(-1, perExit); // [N · K, 1] or [N · K, 2]
        Tensor output = Network.Forward(ofExits).view(samples, -1), mean = output.mean([0], keepdim: true); // [N, K], [1, K]
        return output.div(where(mean.gt(0), mean, ones_like(mean)));
    }

    /// <summary>1 + ε · centre(output), <c>[N, K]</c>.</summary>
    internal static Tensor Perturbed(Tensor output, MetaOptions options)
    {
        Tensor mean = options.Centring switch
        {
            Centring.Col => output.mean([1], keepdim: true), // [N, 1]
            Centring.Row => output.mean([0], keepdim: true), // [1, K]
            _ => output.mean(), // []
        };
        return output.sub(mean).mul(options.Epsilon).add(1);
    }
}

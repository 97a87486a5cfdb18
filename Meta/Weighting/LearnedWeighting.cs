using System.Diagnostics;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Meta.Gradients;
using TorchSharp.Modules;
using Adam = Imta.MetaWeight.Meta.Optimisers.Adam;

namespace Imta.MetaWeight.Meta.Weighting;

/// <summary>
/// Weights from a network g(φ; Θ) that learns every <see cref="MetaOptions.Interval"/> batches; with interval 0, it stays as initialised.
/// </summary>
/// <remarks>Shapes: <c>N</c> samples, <c>K</c> exits.</remarks>
public abstract class LearnedWeighting : ISampleWeighting
{
    /// <summary>The network's key in <see cref="State"/>, and in L2W-DEN's published checkpoints.</summary>
    public const string NetworkKey = "meta_state_dict";

    /// <summary>The optimiser's key in <see cref="State"/>, and in L2W-DEN's published checkpoints.</summary>
    public const string OptimiserKey = "meta_optimizer";

    private readonly MetaOptions _options;

    private protected LearnedWeighting(MetaOptions options, WeightPredictionNetwork network)
    {
        (_options, Network) = (options, network);
        Optimiser = new Adam(network.named_parameters(), options.Optimiser.WeightDecay);
    }

    /// <inheritdoc/>
    public abstract string Description { get; }

    /// <inheritdoc/>
    public bool CutsBatch => _options.Source == MetaSource.Halves;

    /// <summary>g.</summary>
    public WeightPredictionNetwork Network { get; }

    /// <summary>The optimiser of Θ.</summary>
    public Adam Optimiser { get; }

    /// <inheritdoc/>
    public IReadOnlyList<Parameter> Parameters => Network.Parameters;

    /// <inheritdoc/>
    public StateTree State => new()
    {
        Groups = { [NetworkKey] = new StateTree(Network.state_dict()), [OptimiserKey] = Optimiser.State },
    };

    /// <inheritdoc/>
    public bool Learns(int batch) => _options.Interval > 0 && batch % _options.Interval == 0;

    /// <summary>φ <c>[N, K]</c> or <c>[N, 2K]</c>, detached: plain cross-entropies, confidences, or both concatenated.</summary>
    /// <param name="forward">The pass at θ.</param>
    public Tensor Features(IForward forward)
    {
        using IDisposable noGrad = no_grad();
        return _options.Features switch
        {
            WeightFeatures.Loss => forward.CrossEntropies.detach(),
            WeightFeatures.Confidence => Confidence.PerSample(forward.Logits),
            _ => cat([forward.CrossEntropies.detach(), Confidence.PerSample(forward.Logits)], 1),
        };
    }

    /// <inheritdoc/>
    public Tensor Weights(Tensor features)
    {
        using Activity? phase = StepPhases.Start(StepPhases.Weights);
        return Predict(features);
    }

    /// <inheritdoc/>
    public void Update(IReadOnlyList<Tensor?> gradient, double rate) => Optimiser.Apply([.. gradient.Select(part => part!)], rate);

    /// <inheritdoc/>
    public void LoadState(StateTree state)
    {
        Network.LoadState(state.Group(NetworkKey).Tensors);
        Optimiser.LoadState(state.Group(OptimiserKey));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Network.Dispose();
        Optimiser.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <inheritdoc cref="Weights"/>
    private protected abstract Tensor Predict(Tensor features);

    private protected static int FeaturesPerExit(MetaOptions options) => options.Features == WeightFeatures.Both ? 2 : 1;
}

/// <summary>w = 1 + ε · centre(g(φ; Θ)), g from a sample's features at all exits to all of its weights (L2W-DEN, section 3.2).</summary>
/// <param name="options">ε, centring, features, interval; network and optimiser.</param>
/// <param name="exits">K.</param>
/// <param name="random">Draws the initial Θ.</param>
/// <param name="type">Element type of Θ.</param>
/// <param name="device">The device of Θ.</param>
public sealed class L2wDenWeighting(
    MetaOptions options, int exits, Generator random, ScalarType type, Device device)
    : LearnedWeighting(
        options, new WeightPredictionNetwork(options.Wpn, FeaturesPerExit(options) * exits, exits, random, type, device))
{
    private readonly MetaOptions _options = options;

    /// <inheritdoc/>
    public override string Description => "learned sample weights";

    private protected override Tensor Predict(Tensor features) => Perturbed(Network.Forward(features), _options);

    /// <summary>1 + ε · centre(output), <c>[N, K]</c>.</summary>
    internal static Tensor Perturbed(Tensor output, MetaOptions options)
    {
        Tensor mean = options.Centring switch
        {
            Centring.Col => output.mean([1], keepdim: true), // [N, 1]
            Centring.Row => output.mean([0], keepdim: true), // [1, K]
            _ => output.mean(), // []
        };
        return output.sub(mean).mul(Held(options.Epsilon)).add(Held(1), One);
    }
}

/// <summary>
/// w_k = g(φ_k; Θ) scaled to mean 1 over the samples. g maps one exit's features to its weight and is the same for every exit; for a single
/// exit, this is the published code of Meta-Weight-Net (Shu et al., NeurIPS 2019).
/// </summary>
/// <param name="options">Features, interval; network and optimiser.</param>
/// <param name="random">Draws the initial Θ.</param>
/// <param name="type">Element type of Θ.</param>
/// <param name="device">The device of Θ.</param>
public sealed class MetaWeightNetWeighting(
    MetaOptions options, Generator random, ScalarType type, Device device)
    : LearnedWeighting(options, new WeightPredictionNetwork(options.Wpn, FeaturesPerExit(options), 1, random, type, device))
{
    private readonly int _perExit = FeaturesPerExit(options);

    /// <inheritdoc/>
    public override string Description => "learned sample weights (Meta-Weight-Net)";

    private protected override Tensor Predict(Tensor features)
    {
        long samples = features.shape[0];
        Tensor ofExits = features.view(samples, _perExit, -1).transpose(1, 2).reshape(-1, _perExit); // [N · K, 1] or [N · K, 2]
        Tensor output = Network.Forward(ofExits).view(samples, -1), mean = output.mean([0], keepdim: true); // [N, K], [1, K]
        return output.div(where(mean.gt(Held(0)), mean, ones_like(mean)));
    }
}

using System.Globalization;
using Imta.MetaWeight.Backbones;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Meta.Weighting;

/// <summary>
/// The WPN g(φ; Θ) of L2W-DEN: an MLP from a sample's features to one number per exit, with ReLU between layers and tanh at the end; or,
/// with a sigmoid at the end, that of Meta-Weight-Net (Shu et al., NeurIPS 2019), from one exit's features to one number. Its parameter
/// names are those of L2W-DEN's published checkpoints.
/// </summary>
public sealed class WeightPredictionNetwork : NamedModule
{
    private readonly List<Layer> _layers = [];
    private readonly WpnOutput _output;

    /// <summary>Builds the network with PyTorch's default initialisation.</summary>
    /// <param name="options">Width and number of hidden layers; output.</param>
    /// <param name="features">Number of features of a sample, or of a sample at one exit.</param>
    /// <param name="outputs">K, or 1 for a single exit.</param>
    /// <param name="random">The random generator for the initial parameters.</param>
    /// <param name="type">The parameters' element type.</param>
    /// <param name="device">The parameters' device.</param>
    public WeightPredictionNetwork(WpnOptions options, int features, int outputs, Generator random, ScalarType type, Device device)
        : base("WPN")
    {
        _output = options.Output;
        var factory = new LayerFactory(Initialisation.Published, random, type, device);
        var first = new Part("fc", Add(features, options.Hidden));
        register_module("first_hidden_layer", first);
        if (options.Layers > 1)
        {
            var rest = new Part();
            for (int layer = 1; layer < options.Layers; layer++)
            {
                rest.register_module(
                    (layer - 1).ToString(CultureInfo.InvariantCulture), new Part("fc", Add(options.Hidden, options.Hidden)));
            }

            register_module("rest_hidden_layers", rest);
        }

        register_module("output_layer", Add(options.Hidden, outputs));
        Parameters = [.. parameters()];

        Layer Add(long input, long output)
        {
            var layer = new Layer(factory, input, output);
            _layers.Add(layer);
            return layer;
        }
    }

    /// <summary>Θ, in the order used for lists of gradients.</summary>
    public IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>Outputs <c>[N, outputs]</c>, with autograd history, from <c>[N, features]</c>.</summary>
    public Tensor Forward(Tensor features)
    {
        Tensor x = features;
        for (int layer = 0; layer < _layers.Count; layer++)
        {
            x = _layers[layer].Forward(x);
            x = layer < _layers.Count - 1 ? x.relu() : _output == WpnOutput.Sigmoid ? x.sigmoid() : x.tanh();
        }

        return x;
    }

    /// <summary>A linear layer <c>[N, input]</c> → <c>[N, output]</c>, initialised uniformly in ±1/√input.</summary>
    private sealed class Layer : NamedModule
    {
        private readonly Parameter _weight;
        private readonly Parameter _bias;

        public Layer(LayerFactory factory, long input, long output)
            : base(nameof(Layer))
        {
            _weight = factory.LinearWeight(output, input);
            _bias = factory.Bias(output, input);
            register_parameter("weight", _weight);
            register_parameter("bias", _bias);
        }

        public Tensor Forward(Tensor x) => nn.functional.linear(x, _weight, _bias);
    }

    /// <summary>One level of the published parameter names.</summary>
    private sealed class Part : NamedModule
    {
        public Part()
            : base(nameof(Part))
        {
        }

        public Part(string name, nn.Module part)
            : this() => register_module(name, part);
    }
}

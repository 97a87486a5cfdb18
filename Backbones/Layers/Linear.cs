using Imta.MetaWeight.Backbones.Linearised;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>A linear layer with bias: <c>[N, input]</c> → <c>[N, output]</c>.</summary>
public sealed class Linear : NamedModule
{
    private readonly Parameter _weight;
    private readonly Parameter _bias;

    /// <param name="factory">Initialises the parameters.</param>
    /// <param name="input">Length of the input.</param>
    /// <param name="output">Length of the output.</param>
    public Linear(LayerFactory factory, long input, long output)
        : base(nameof(Linear))
    {
        _weight = factory.LinearWeight(output, input);
        _bias = factory.Bias(output, input);
        register_parameter("weight", _weight);
        register_parameter("bias", _bias);
    }

    /// <summary>The element type of its parameters and input.</summary>
    public ScalarType Type => _weight.dtype;

    /// <summary><c>[N, output]</c>.</summary>
    /// <param name="x"><c>[N, input]</c>.</param>
    /// <param name="pass">The pass.</param>
    public Tensor Forward(Tensor x, Pass pass)
    {
        Tensor y = nn.functional.linear(x, pass[_weight], pass[_bias]);
        pass.Cost?.Linear(_weight, _bias, y);
        pass.Tape?.Add(new Map(this, pass, x), y, x);
        return y;
    }

    /// <summary>The output of the norm after this layer, using the running statistics, in one linear layer.</summary>
    internal Tensor ForwardFolded(Tensor x, BatchNorm norm, BatchNormFolding folding)
    {
        (Tensor weight, Tensor bias) = folding.For(this, () => norm.FoldedInto(_weight, _bias));
        return nn.functional.linear(x, weight, bias);
    }

    /// <summary>ẏ = ẋ Wᵀ + x Ẇᵀ + ḃ.</summary>
    private sealed class Map : LinearMap
    {
        private readonly Linear _layer;
        private readonly Tensor _weight;
        private readonly Tensor _x;

        public Map(Linear layer, Pass pass, Tensor x) => (_layer, _weight, _x) = (layer, pass[layer._weight], Keep(x));

        public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? destination)
        {
            Tensor?[] terms =
            [
                inputs[0]?.matmul(_weight.t()),
                direction[_layer._weight] is { } weight ? _x.matmul(weight.t()) : null,
                direction[_layer._bias]?.expand(_x.size(0), -1),
            ];
            return terms.OfType<Tensor>().Aggregate<Tensor, Tensor?>(null, (sum, part) => sum is null ? part : sum.add(part, One));
        }

        public override IReadOnlyList<Tensor?> Cotangent(
            Tensor output, IReadOnlyList<bool> needed, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient)
        {
            gradient.Add(_layer._weight, output.t().matmul(_x));
            gradient.Add(_layer._bias, output.sum([0]));
            return [needed[0] ? output.matmul(_weight) : null];
        }
    }
}

using TorchSharp.Modules;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>A linear layer with bias: <c>[N, input]</c> → <c>[N, output]</c>.</summary>
internal sealed class Linear : NamedModule
{
    private readonly Parameter _weight;
    private readonly Parameter _bias;

    public Linear(LayerFactory factory, long input, long output)
        : base(nameof(Linear))
    {
        _weight = factory.LinearWeight(output, input);
        _bias = factory.Bias(output, input);
        register_parameter("weight", _weight);
        register_parameter("bias", _bias);
    }

    public Tensor Forward(Tensor x, Pass pass)
    {
        Tensor y = nn.functional.linear(x, pass[_weight], pass[_bias]);
        pass.Cost?.Linear(_weight, _bias, y);
        return y;
    }
}

using TorchSharp.Modules;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>A convolution with a square kernel: <c>[N, input, H, W]</c> → <c>[N, output, H′, W′]</c>.</summary>
internal sealed class Convolution : NamedModule
{
    private readonly Parameter _weight;
    private readonly Parameter? _bias;
    private readonly long[] _stride;
    private readonly long[] _padding;

    public Convolution(LayerFactory factory, long input, long output, long kernel, long stride, long padding, bool bias = false)
        : base(nameof(Convolution))
    {
        _weight = factory.ConvolutionWeight(output, input, kernel);
        _stride = [stride, stride];
        _padding = [padding, padding];
        register_parameter("weight", _weight);
        if (bias)
        {
            _bias = factory.Bias(output, fanIn: input * kernel * kernel);
            register_parameter("bias", _bias);
        }
    }

    public Tensor Forward(Tensor x, Pass pass)
    {
        Tensor y = nn.functional.conv2d(x, pass[_weight], _bias is null ? null : pass[_bias], strides: _stride, padding: _padding);
        pass.Cost?.Convolution(_weight, _bias, y);
        return y;
    }
}

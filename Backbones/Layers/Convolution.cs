using TorchSharp.Modules;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>A convolution with a square kernel: <c>[N, input, H, W]</c> → <c>[N, output, H′, W′]</c>.</summary>
internal sealed class Convolution : NamedModule
{
    private readonly Parameter _weight;
    private readonly long[] _stride;
    private readonly long[] _padding;

    public Convolution(LayerFactory factory, long input, long output, long kernel, long stride, long padding)
        : base(nameof(Convolution))
    {
        _weight = factory.ConvolutionWeight(output, input, kernel);
        _stride = [stride, stride];
        _padding = [padding, padding];
        register_parameter("weight", _weight);
    }

    public Tensor Forward(Tensor x, Pass pass) => nn.functional.conv2d(x, pass[_weight], strides: _stride, padding: _padding);
}

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>The beginning of a network for ImageNet: a 7×7 convolution with bias, batch norm, ReLU, 3×3 maximum pooling; 224×224 → 56×56.</summary>
internal sealed class Stem : NamedModule
{
    private readonly ConvolutionUnits _unit;

    public Stem(LayerFactory factory, long input, long output)
        : base(nameof(Stem))
    {
        var convolution = new Convolution(factory, input, output, kernel: 7, stride: 2, padding: 3, bias: true);
        var norm = new BatchNorm(factory, output);
        register_module("0", convolution);
        register_module("1", norm);
        _unit = new ConvolutionUnits([(convolution, norm)]);
    }

    public Tensor Forward(Tensor x, Pass pass)
    {
        return Operators.MaxPool(_unit.Forward(x, pass), kernel: 3, stride: 2, padding: 1, pass);
    }
}

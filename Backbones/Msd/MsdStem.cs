using Imta.MetaWeight.Backbones.Layers;

namespace Imta.MetaWeight.Backbones.Msd;

/// <summary>The beginning of MSDNet for ImageNet: a 7×7 convolution with bias, batch norm, ReLU, 3×3 maximum pooling; 224×224 → 56×56.</summary>
internal sealed class MsdStem : NamedModule
{
    private readonly Convolution _convolution;
    private readonly BatchNorm _norm;

    public MsdStem(LayerFactory factory, long input, long output)
        : base(nameof(MsdStem))
    {
        _convolution = new Convolution(factory, input, output, kernel: 7, stride: 2, padding: 3, bias: true);
        _norm = new BatchNorm(factory, output);
        register_module("0", _convolution);
        register_module("1", _norm);
    }

    public Tensor Forward(Tensor x, Pass pass)
    {
        Tensor y = Operators.Relu(_norm.Forward(_convolution.Forward(x, pass), pass), pass);
        return Operators.MaxPool(y, kernel: 3, stride: 2, padding: 1, pass);
    }
}

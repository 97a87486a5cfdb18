using Imta.MetaWeight.Backbones.Layers;

namespace Imta.MetaWeight.Backbones.Msd;

/// <summary>The exit of an MSDNet: two 3×3 units of stride 2 on the coarsest scale, 2×2 mean pooling, a linear layer.</summary>
internal sealed class MsdExit : NamedModule
{
    private const int Pool = 2;

    private readonly ConvolutionChain[] _chains;
    private readonly Linear _linear;

    /// <param name="factory">Starts the parameters.</param>
    /// <param name="channels">Channels of the coarsest scale.</param>
    /// <param name="width">Channels of both units.</param>
    /// <param name="classes">C.</param>
    public MsdExit(LayerFactory factory, long channels, long width, int classes)
        : base(nameof(MsdExit))
    {
        _chains =
        [
            ConvolutionChain.Single(factory, channels, width, kernel: 3, stride: 2, padding: 1),
            ConvolutionChain.Single(factory, width, width, kernel: 3, stride: 2, padding: 1),
        ];
        _linear = new Linear(factory, width, classes);
        register_module("m", new Group(_chains));
        register_module("linear", _linear);
    }

    /// <summary>From the coarsest scale, <c>[N, channels, H, W]</c>, to logits <c>[N, C]</c>.</summary>
    public Tensor Forward(Tensor coarsest, Pass pass)
    {
        Tensor x = coarsest;
        foreach (ConvolutionChain chain in _chains)
        {
            x = chain.Forward(x, pass);
        }

        return _linear.Forward(Operators.MeanPool(x, Pool, pass), pass);
    }
}

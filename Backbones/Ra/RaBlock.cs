using Imta.MetaWeight.Backbones.Layers;

namespace Imta.MetaWeight.Backbones.Ra;

/// <summary>A block of RANet: layers, which may each fuse features of lower resolution, these features' last ones, a transition.</summary>
internal sealed class RaBlock : NamedModule
{
    private readonly RaLayer[] _layers;
    private readonly ConvolutionChain? _last;
    private readonly ConvolutionChain? _transition;

    public RaBlock(LayerFactory factory, RaBlockPlan plan, double compress)
        : base(nameof(RaBlock))
    {
        _layers = [.. Enumerable.Range(0, plan.Layers).Select(number => new RaLayer(factory, plan, number, compress))];
        register_module("layers", new Group(_layers));
        if (plan.Low is { } low)
        {
            _last = Unit(low.ChannelsBehind(low.Layers), plan.Fused);
            register_module("conv_last", _last);
        }

        if (plan.Reduced is { } reduced)
        {
            _transition = Unit(plan.ChannelsBehind(plan.Layers) + plan.Fused, reduced);
            register_module("trans", _transition);
        }

        ConvolutionChain Unit(long input, long output) => ConvolutionChain.Single(factory, input, output, kernel: 1, stride: 1, padding: 0);
    }

    /// <summary>Features that a block of the next sub-network fuses: those at the input and behind each layer.</summary>
    public int Kept => _layers.Length + 1;

    /// <summary>The features behind the block, and those that a block of the next sub-network fuses.</summary>
    /// <param name="x"><c>[N, C, H, W]</c>.</param>
    /// <param name="low">What the block of the same number in the sub-network before kept; empty: it fuses nothing.</param>
    /// <param name="pass">The pass.</param>
    public (Tensor Behind, Tensor[] Kept) Forward(Tensor x, Tensor[] low, Pass pass)
    {
        var kept = new Tensor[Kept];
        kept[0] = x;
        for (int i = 0; i < _layers.Length; i++)
        {
            kept[i + 1] = x = _layers[i].Forward(x, low.Length > 0 ? low[i] : null, pass);
        }

        if (_last is not null)
        {
            x = Operators.Join(x, [RaLayer.Resized(_last, low[^1], x.shape[2..], pass)], pass);
        }

        return (_transition?.Forward(x, pass) ?? x, kept);
    }
}

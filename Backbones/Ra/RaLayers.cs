using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Layers;

namespace Imta.MetaWeight.Backbones.Ra;

/// <summary>The first layer of RANet: from the image to the first features of every sub-network, the highest resolution first.</summary>
internal sealed class RaFirstLayer : NamedModule
{
    private const int ImageChannels = 3;

    private readonly Func<Tensor, Pass, Tensor>[] _steps; // starting from the image, each to the next lower or equal resolution

    public RaFirstLayer(LayerFactory factory, RaFlowPlan[] flows, ImageKind images)
        : base(nameof(RaFirstLayer))
    {
        var parts = new Group();
        _steps = new Func<Tensor, Pass, Tensor>[flows.Length];
        register_module("layers", parts);
        for (int i = 0; i < flows.Length; i++)
        {
            RaFlowPlan flow = flows[^(i + 1)];
            RaFlowPlan? above = i == 0 ? null : flows[^i];
            if (above is null && images.HasStem)
            {
                _steps[i] = parts.Add(new Stem(factory, ImageChannels, flow.Channels)).Forward;
                continue;
            }

            long stride = above is null || above.Scale == flow.Scale ? 1 : 2;
            ConvolutionChain chain = parts.Add(
                ConvolutionChain.Unit(factory, above?.Channels ?? ImageChannels, flow.Channels, kernel: 3, stride, padding: 1));
            _steps[i] = (x, pass) => chain.Forward(x, pass);
        }
    }

    /// <summary>The first features of each sub-network, the lowest resolution first.</summary>
    public Tensor[] Forward(Tensor images, Pass pass)
    {
        var features = new Tensor[_steps.Length];
        Tensor x = images;
        for (int i = 0; i < _steps.Length; i++)
        {
            features[^(i + 1)] = x = _steps[i](x, pass);
        }

        return features;
    }
}

/// <summary>
/// A block of RANet: layers and, optionally, a transition. If it fuses lower-resolution features, each layer does, and the last of them are
/// joined after the layers.
/// </summary>
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
            _last = Unit(low.ChannelsAfter(low.Layers), plan.Fused);
            register_module("conv_last", _last);
        }

        if (plan.Reduced is { } reduced)
        {
            _transition = Unit(plan.ChannelsAfter(plan.Layers) + plan.Fused, reduced);
            register_module("trans", _transition);
        }

        ConvolutionChain Unit(long input, long output) => ConvolutionChain.Unit(factory, input, output, kernel: 1, stride: 1, padding: 0);
    }

    /// <summary>The number of features that a block of the next sub-network fuses: those at the input and after each layer.</summary>
    public int Kept => _layers.Length + 1;

    /// <summary>The features after the block, and those that a block of the next sub-network fuses.</summary>
    /// <param name="x"><c>[N, C, H, W]</c>.</param>
    /// <param name="low">The features kept by the corresponding block of the previous sub-network; empty if this one fuses nothing.</param>
    /// <param name="pass">The pass.</param>
    public (Tensor Output, Tensor[] Kept) Forward(Tensor x, Tensor[] low, Pass pass)
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

/// <summary>
/// A layer of RANet: [its features, new ones from the sub-network of lower resolution, new ones from itself], all at the height and width
/// of the last part (Yang et al., 2020, Figure 4); without a lower resolution, [its features, new ones].
/// </summary>
internal sealed class RaLayer : NamedModule
{
    private readonly ConvolutionChain? _up;
    private readonly ConvolutionChain _normal;
    private readonly long _stride;
    private readonly long _room;

    /// <param name="factory">Initialises the parameters.</param>
    /// <param name="block">Its block.</param>
    /// <param name="number">Its index in the block, from 0.</param>
    /// <param name="compress">The fraction of new channels that comes from the lower resolution.</param>
    public RaLayer(LayerFactory factory, RaBlockPlan block, int number, double compress)
        : base(nameof(RaLayer))
    {
        long added = block.Flow.Growth;
        _stride = block.HalvesResolution && number == block.Layers - 1 ? 2 : 1;
        _room = block.LaterChannels(number);
        if (block.Low is { } low)
        {
            long fromLow = (long)Math.Floor(added * compress);
            added -= fromLow;
            _up = ConvolutionChain.Bottleneck(factory, low.ChannelsAfter(number), fromLow, low.Flow.Width, stride: 1);
            register_module("conv_up", _up);
        }

        _normal = ConvolutionChain.Bottleneck(factory, block.ChannelsAfter(number), added, block.Flow.Width, _stride);
        register_module("conv_normal", _normal);
    }

    /// <summary>The features after the layer.</summary>
    /// <param name="x"><c>[N, C, H, W]</c>.</param>
    /// <param name="low">The corresponding lower-resolution features, if any.</param>
    /// <param name="pass">The pass.</param>
    public Tensor Forward(Tensor x, Tensor? low, Pass pass)
    {
        long[] size = [.. x.shape[2..].Select(side => (side + _stride - 1) / _stride)];
        var normal = new JoinedPart(_normal.Channels, destination => _normal.Forward(x, pass, destination));
        JoinedPart[] added = _up is null ? [normal] : [Resized(_up, low!, size, pass), normal];
        return Operators.Join(Operators.Interpolate(x, size, pass), added, pass, _room);
    }

    /// <summary>The output of a chain, resized to another height and width.</summary>
    public static JoinedPart Resized(ConvolutionChain chain, Tensor x, long[] size, Pass pass) => new(
        chain.Channels,
        destination => x.shape.AsSpan(2).SequenceEqual(size)
            ? chain.Forward(x, pass, destination)
            : Operators.Interpolate(chain.Forward(x, pass), size, pass, destination));
}

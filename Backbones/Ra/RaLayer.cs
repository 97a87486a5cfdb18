using Imta.MetaWeight.Backbones.Layers;

namespace Imta.MetaWeight.Backbones.Ra;

/// <summary>
/// A layer of RANet: [its features, new ones from the sub-network of lower resolution, new ones from itself], all at the height and width
/// of
/// the last (Yang et al., 2020, Figure 4); without a lower resolution, [its features, new ones].
/// </summary>
internal sealed class RaLayer : NamedModule
{
    private readonly ConvolutionChain? _up;
    private readonly ConvolutionChain _normal;
    private readonly long _stride;
    private readonly long _room;

    /// <param name="factory">Starts the parameters.</param>
    /// <param name="block">Its block.</param>
    /// <param name="number">Its number in the block, from 0.</param>
    /// <param name="compress">Share of the new channels that comes from the lower resolution.</param>
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
            _up = ConvolutionChain.Bottleneck(factory, low.ChannelsBehind(number), fromLow, low.Flow.Width, stride: 1);
            register_module("conv_up", _up);
        }

        _normal = ConvolutionChain.Bottleneck(factory, block.ChannelsBehind(number), added, block.Flow.Width, _stride);
        register_module("conv_normal", _normal);
    }

    /// <summary>The features behind the layer.</summary>
    /// <param name="x"><c>[N, C, H, W]</c>.</param>
    /// <param name="low">Features of the lower resolution at the same place, where there is one.</param>
    /// <param name="pass">The pass.</param>
    public Tensor Forward(Tensor x, Tensor? low, Pass pass)
    {
        long[] size = [.. x.shape[2..].Select(side => (side + _stride - 1) / _stride)];
        var normal = new JoinedPart(_normal.Channels, place => _normal.Forward(x, pass, place));
        JoinedPart[] added = _up is null ? [normal] : [Resized(_up, low!, size, pass), normal];
        return Operators.Join(Operators.Interpolate(x, size, pass), added, pass, _room);
    }

    /// <summary>What a chain makes of features, at another height and width.</summary>
    public static JoinedPart Resized(ConvolutionChain chain, Tensor x, long[] size, Pass pass) => new(
        chain.Channels,
        place => x.shape.AsSpan(2).SequenceEqual(size) ? chain.Forward(x, pass, place) : Operators.Interpolate(chain.Forward(x, pass), size, pass, place));
}

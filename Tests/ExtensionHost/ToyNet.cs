using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Layers;
using static TorchSharp.torch;

namespace ExtensionHost;

public sealed record ToyNetOptions
{
    [Description("Blocks of the network; each ends in an exit")]
    [Range(1, 100)]
    public int Blocks { get; init; } = 3;

    [Description("Channels of every block")]
    [Range(1, 65536)]
    public int Width { get; init; } = 8;
}

/// <summary><c>model.backbone=toy</c>: one 3×3 convolution per exit.</summary>
public sealed class ToyNet : ExitHeadNetwork
{
    private readonly ConvolutionChain[] _blocks;

    private ToyNet(ToyNetOptions options, ImageKind images, int classes, LayerFactory factory, ModifierOptions modifiers)
        : base("ToyNet", modifiers, classes)
    {
        _blocks = [.. Enumerable.Range(0, options.Blocks).Select(k => ConvolutionChain.Unit(
            factory, k == 0 ? 3 : options.Width, options.Width, kernel: 3, stride: k == 0 ? 4 : 1, padding: 1))]; // 32×32 to 8×8
        foreach (ConvolutionChain _ in _blocks)
        {
            AddExit(factory, images, options.Width);
        }

        register_module("blocks", new Group(_blocks));
        RegisterExits(factory);
    }

    public static Backbone Backbone { get; } = Backbone.Create<ToyNetOptions>(
        "toy",
        options => options.Blocks,
        (options, images, classes, factory, modifiers) => new ToyNet(options, images, classes, factory, modifiers));

    protected override Tensor[] Block(int k, Tensor[] features, Pass pass) => [_blocks[k].Forward(features[0], pass)];
}

using Imta.MetaWeight.Backbones.Layers;

namespace Imta.MetaWeight.Backbones.Exits;

/// <summary>The exit of MSDNet and RANet: two 3×3 units of stride 2, 2×2 average pooling, a linear layer.</summary>
internal sealed class ExitHead : NamedModule
{
    private const int CifarWidth = 128;
    private const int Pool = 2;

    private readonly ConvolutionChain[] _chains;

    /// <param name="factory">Creates the parameters.</param>
    /// <param name="images">The kind of images the network is for.</param>
    /// <param name="channels">Channels of its input feature.</param>
    /// <param name="classes">The number of classes C.</param>
    /// <param name="collaborates">
    /// Whether the linear layer also reads the same number of inputs from the previous exit (<see cref="Collaboration"/>).
    /// </param>
    public ExitHead(LayerFactory factory, ImageKind images, long channels, int classes, bool collaborates)
        : base(nameof(ExitHead))
    {
        Width = images.HasStem ? channels : CifarWidth;
        _chains =
        [
            ConvolutionChain.Unit(factory, channels, Width, kernel: 3, stride: 2, padding: 1),
            ConvolutionChain.Unit(factory, Width, Width, kernel: 3, stride: 2, padding: 1),
        ];
        Linear = new Linear(factory, collaborates ? 2 * Width : Width, classes);
        register_module("m", new Group(_chains));
        register_module("linear", Linear);
    }

    /// <summary>The width of the pooled feature.</summary>
    public long Width { get; }

    /// <summary>From the pooled feature to logits.</summary>
    public Linear Linear { get; }

    /// <summary>
    /// The pooled feature <c>[N, Width]</c> of <c>[N, channels, H, W]</c>, whose H and W are from 5 to 8; in the linear layer's element
    /// type, whatever that of the input.
    /// </summary>
    public Tensor Pooled(Tensor feature, Pass pass)
    {
        Tensor x = feature;
        foreach (ConvolutionChain chain in _chains)
        {
            x = chain.Forward(x, pass);
        }

        return Operators.Convert(Operators.MeanPool(x, Pool, pass), Linear.Type, pass);
    }
}

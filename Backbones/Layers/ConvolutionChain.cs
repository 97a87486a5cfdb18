namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>Convolution → batch norm → ReLU, once or twice: the building block of MSDNet and RANet.</summary>
public sealed class ConvolutionChain : NamedModule
{
    private const int IndicesPerUnit = 3;

    private readonly List<(Convolution Convolution, BatchNorm Norm)> _units = [];
    private readonly ConvolutionUnits _layer;
    private readonly Group _net = new();

    private ConvolutionChain()
        : base(nameof(ConvolutionChain))
    {
        _layer = new ConvolutionUnits(_units);
        register_module("net", _net);
    }

    /// <summary>One unit.</summary>
    /// <param name="factory">Initialises the parameters.</param>
    /// <param name="input">Channels of the input.</param>
    /// <param name="output">Channels of the output.</param>
    /// <param name="kernel">Height and width of the convolution's kernel.</param>
    /// <param name="stride">Its stride.</param>
    /// <param name="padding">Its padding.</param>
    public static ConvolutionChain Unit(LayerFactory factory, long input, long output, long kernel, long stride, long padding)
    {
        var chain = new ConvolutionChain();
        chain.Append(factory, input, output, kernel, stride, padding);
        return chain;
    }

    /// <summary>
    /// A 1×1 bottleneck unit that reduces to at most <paramref name="width"/> · <paramref name="output"/> channels, then a 3×3 unit.
    /// </summary>
    /// <param name="factory">Initialises the parameters.</param>
    /// <param name="input">Channels of the input.</param>
    /// <param name="output">Channels of the output.</param>
    /// <param name="width">Width of the bottleneck, in multiples of <paramref name="output"/>.</param>
    /// <param name="stride">Stride of the 3×3 unit.</param>
    public static ConvolutionChain Bottleneck(LayerFactory factory, long input, long output, long width, long stride)
    {
        long inner = Math.Min(input, width * output);
        var chain = new ConvolutionChain();
        chain.Append(factory, input, inner, kernel: 1, stride: 1, padding: 0);
        chain.Append(factory, inner, output, kernel: 3, stride, padding: 1);
        return chain;
    }

    /// <summary>Channels of the output.</summary>
    public long Channels { get; private set; }

    /// <summary>The first unit.</summary>
    internal (Convolution Convolution, BatchNorm Norm) First => _units[0];

    /// <inheritdoc cref="ConvolutionUnits.ForwardFrom"/>
    internal Tensor ForwardFrom(Tensor x, Pass pass, Tensor? destination) => _layer.ForwardFrom(x, pass, destination);

    /// <inheritdoc cref="ConvolutionUnits.Forward"/>
    public Tensor Forward(Tensor x, Pass pass, Tensor? destination = null) => _layer.Forward(x, pass, destination);

    private void Append(LayerFactory factory, long input, long output, long kernel, long stride, long padding)
    {
        // The ReLU between two units has an index in the published names, although it has no parameters.
        int number = IndicesPerUnit * _units.Count;
        Convolution convolution = _net.Add($"{number}", new Convolution(factory, input, output, kernel, stride, padding));
        BatchNorm norm = _net.Add($"{number + 1}", new BatchNorm(factory, output));
        _units.Add((convolution, norm));
        Channels = output;
    }
}

/// <summary>
/// The beginning of a network for ImageNet: a 7×7 convolution with bias, batch norm, ReLU, 3×3 max pooling; 224×224 → 56×56.
/// </summary>
public sealed class Stem : NamedModule
{
    private readonly ConvolutionUnits _unit;

    /// <param name="factory">Initialises the parameters.</param>
    /// <param name="input">Channels of the images.</param>
    /// <param name="output">Channels of the output.</param>
    public Stem(LayerFactory factory, long input, long output)
        : base(nameof(Stem))
    {
        var convolution = new Convolution(factory, input, output, kernel: 7, stride: 2, padding: 3, bias: true);
        var norm = new BatchNorm(factory, output);
        register_module("0", convolution);
        register_module("1", norm);
        _unit = new ConvolutionUnits([(convolution, norm)]);
    }

    /// <summary><c>[N, output, H/4, W/4]</c>.</summary>
    /// <param name="x"><c>[N, input, H, W]</c>.</param>
    /// <param name="pass">The pass.</param>
    public Tensor Forward(Tensor x, Pass pass) => Operators.MaxPool(_unit.Forward(x, pass), kernel: 3, stride: 2, padding: 1, pass);
}

using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Layers;
using Imta.MetaWeight.Backbones.Linearised;
using Imta.MetaWeight.Experiments.Reports;
using BatchNorm = Imta.MetaWeight.Backbones.Layers.BatchNorm;
using Convolution = Imta.MetaWeight.Backbones.Layers.Convolution;
using Linear = Imta.MetaWeight.Backbones.Layers.Linear;
using Parameter = TorchSharp.Modules.Parameter;

namespace Imta.MetaWeight.Tests.Backbones.Linearised;

/// <summary>What a <see cref="ProbeNetwork"/> is made of.</summary>
public enum LayerKind
{
    /// <summary>A 1×1 unit.</summary>
    Unit1x1,

    /// <summary>A 3×3 unit.</summary>
    Unit3x3,

    /// <summary>A 3×3 unit of stride 2.</summary>
    Unit3x3Strided,

    /// <summary>A 7×7 unit of stride 2 whose convolution has a bias.</summary>
    Unit7x7WithBias,

    /// <summary>A 1×1 unit and a 3×3 unit of stride 2.</summary>
    Bottleneck,

    /// <summary>2×2 mean pooling.</summary>
    MeanPooling,

    /// <summary>3×3 maximum pooling of stride 2.</summary>
    MaxPooling,

    /// <summary>A linear layer after 2×2 mean pooling.</summary>
    Linear,

    /// <summary>A unit joined by two others, one of them from a finer scale, and the whole by a fourth.</summary>
    JoinedFeatures,

    /// <summary>A layer that changes nothing: its map gives on the very tangent and cotangent that it gets.</summary>
    Same,
}

/// <summary>
/// One layer as a network of one exit, whose "logits" are the layer's output. With a shift, the layer reads images + shift, a parameter:
/// its tangent is that of the layer's input. Without, the input has none.
/// </summary>
internal sealed class ProbeNetwork : MultiExitNetwork
{
    public const string Shift = "shift";

    private readonly LayerFactory _factory;
    private readonly Parameter? _shift;
    private readonly Func<Tensor, Pass, Tensor> _layer;

    /// <param name="kind">What the layer is.</param>
    /// <param name="shape">Of the images.</param>
    /// <param name="random">Starts everything.</param>
    /// <param name="shifted">Whether the input has a tangent.</param>
    public ProbeNetwork(LayerKind kind, long[] shape, Generator random, bool shifted = true)
        : base(kind.ToString())
    {
        _factory = new LayerFactory(Initialisation.Published, random, float64, CPU);
        _layer = Build(kind, shape[1], shape[2] / 2 * (shape[3] / 2));
        using (no_grad())
        {
            foreach (Parameter parameter in parameters())
            {
                // Scales of 1 and shifts of 0 would hide mistakes.
                parameter.add_(rand(parameter.shape, float64, generator: random).mul(Held(0.3)), One);
            }
        }

        if (shifted)
        {
            register_parameter(Shift, _shift = new Parameter(randn(shape, float64, generator: random)));
        }
    }

    public override int Exits => 1;

    public override int Classes => throw new NotSupportedException("a layer has no classes");

    public override bool IsLinearisable => true;

    protected override Tensor[] Block(int k, Tensor[] features, Pass pass)
    {
        if (_shift is null)
        {
            return features;
        }

        Tensor moved = features[0].add(pass[_shift], One);
        pass.Tape?.Add(new ShiftMap(_shift), moved, features[0]);
        return [moved];
    }

    protected override Tensor Exit(int k, Tensor[] features, Tensor? earlier, Pass pass) => _layer(features[0], pass);

    private Func<Tensor, Pass, Tensor> Build(LayerKind kind, long channels, long pooled) => kind switch
    {
        LayerKind.Unit1x1 => Unit(channels, kernel: 1, stride: 1, padding: 0, bias: false),
        LayerKind.Unit3x3 => Unit(channels, kernel: 3, stride: 1, padding: 1, bias: false),
        LayerKind.Unit3x3Strided => Unit(channels, kernel: 3, stride: 2, padding: 1, bias: false),
        LayerKind.Unit7x7WithBias => Unit(channels, kernel: 7, stride: 2, padding: 3, bias: true),
        LayerKind.Bottleneck => Chain("chain", ConvolutionChain.Bottleneck(_factory, channels, output: 3, width: 1, stride: 2)),
        LayerKind.MeanPooling => (x, pass) => Operators.MeanPool(x, kernel: 2, pass),
        LayerKind.MaxPooling => (x, pass) => Operators.MaxPool(x, kernel: 3, stride: 2, padding: 1, pass),
        LayerKind.Linear => Head(channels * pooled),
        LayerKind.JoinedFeatures => Join(channels),
        LayerKind.Same => Same,
        _ => throw new ArgumentOutOfRangeException(nameof(kind)),
    };

    private Func<Tensor, Pass, Tensor> Unit(long channels, long kernel, long stride, long padding, bool bias)
    {
        Convolution convolution = Registered("convolution", new Convolution(_factory, channels, 4, kernel, stride, padding, bias));
        var unit = new ConvolutionUnits([(convolution, Registered("norm", new BatchNorm(_factory, 4)))]);
        return (x, pass) => unit.Forward(x, pass);
    }

    private Func<Tensor, Pass, Tensor> Chain(string name, ConvolutionChain chain)
    {
        register_module(name, chain);
        return (x, pass) => chain.Forward(x, pass);
    }

    private Func<Tensor, Pass, Tensor> Head(long features)
    {
        Linear linear = Registered("linear", new Linear(_factory, features, 5));
        return (x, pass) => linear.Forward(Operators.MeanPool(x, kernel: 2, pass), pass);
    }

    private Func<Tensor, Pass, Tensor> Join(long channels)
    {
        ConvolutionChain own = Registered("own", ConvolutionChain.Unit(_factory, channels, 3, kernel: 3, stride: 2, padding: 1));
        ConvolutionChain down = Registered("down", ConvolutionChain.Bottleneck(_factory, channels, 2, width: 2, stride: 2));
        ConvolutionChain normal = Registered("normal", ConvolutionChain.Bottleneck(_factory, 3, 2, width: 2, stride: 1));
        ConvolutionChain next = Registered("next", ConvolutionChain.Unit(_factory, 7, 2, kernel: 3, stride: 1, padding: 1));
        return (x, pass) =>
        {
            Tensor features = own.Forward(x, pass);
            Tensor joined = Operators.Join(features, [Part(down, x), Part(normal, features)], pass);
            return Operators.Join(joined, [Part(next, joined)], pass);

            JoinedPart Part(ConvolutionChain chain, Tensor input)
                => new(chain.Channels, destination => chain.Forward(input, pass, destination));
        };
    }

    private static Tensor Same(Tensor x, Pass pass)
    {
        Tensor y = x.clone();
        pass.Tape?.Add(new SameMap(), y, x);
        return y;
    }

    private T Registered<T>(string name, T part)
        where T : NamedModule
    {
        register_module(name, part);
        return part;
    }

    private sealed class SameMap : LinearMap
    {
        public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? destination) => inputs[0];

        public override IReadOnlyList<Tensor?> Cotangent(
            Tensor output, IReadOnlyList<bool> needed, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient) => [output];
    }

    /// <summary>y = x + shift.</summary>
    private sealed class ShiftMap(Parameter shift) : LinearMap
    {
        public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? destination)
            => direction[shift];

        public override IReadOnlyList<Tensor?> Cotangent(
            Tensor output, IReadOnlyList<bool> needed, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient)
        {
            needed.Should().Equal(false);
            gradient.Add(shift, output);
            return [null];
        }
    }
}

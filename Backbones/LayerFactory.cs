using TorchSharp.Modules;

namespace Imta.MetaWeight.Backbones;

/// <summary>How a network's parameters are initialised: element type, device, rule and random numbers.</summary>
/// <remarks>Numbers are drawn on the CPU in float64, so a seed gives the same network for every type and device.</remarks>
/// <param name="Initialisation">The rule for convolutions and linear layers.</param>
/// <param name="Random">The random generator.</param>
/// <param name="Type">The parameters' element type.</param>
/// <param name="Device">The parameters' device.</param>
public sealed record LayerFactory(Initialisation Initialisation, Generator Random, ScalarType Type, Device Device)
{
    private const int TensorBytes = 1536; // what libtorch, TorchSharp and a module keep for a tensor besides its elements

    private double _bytes;

    /// <summary>
    /// Upper bound in bytes on everything it creates, including temporary random numbers: a tensor beyond it is refused before it is
    /// allocated. On libtorch's device <c>meta</c>, where tensors take no memory, this checks a network's size from its shapes alone.
    /// </summary>
    public long MaxBytes { get; init; } = long.MaxValue;

    /// <summary>Convolution weights <c>[output, input, kernel, kernel]</c>.</summary>
    public Parameter ConvolutionWeight(long output, long input, long kernel) => Initialisation switch
    {
        // He et al., ICCV 2015, with fan-out.
        Initialisation.He => Normal([output, input, kernel, kernel], Math.Sqrt(2.0 / (kernel * kernel * output))),
        _ => Uniform([output, input, kernel, kernel], 1 / Math.Sqrt(input * kernel * kernel)),
    };

    /// <summary>Weights <c>[output, input]</c> of a linear layer: PyTorch's default for both rules.</summary>
    public Parameter LinearWeight(long output, long input) => Uniform([output, input], 1 / Math.Sqrt(input));

    /// <summary>The bias <c>[output]</c> of a linear layer or a convolution.</summary>
    /// <param name="output">Its length.</param>
    /// <param name="fanIn">Fan-in, for PyTorch's default.</param>
    public Parameter Bias(long output, long fanIn) => Initialisation switch
    {
        Initialisation.He => Constant(output, 0),
        _ => Uniform([output], 1 / Math.Sqrt(fanIn)),
    };

    /// <summary>A parameter <c>[length]</c> filled with one value.</summary>
    public Parameter Constant(long length, double value) => new(Buffer(length, value));

    /// <summary>A buffer <c>[length]</c> filled with one value.</summary>
    public Tensor Buffer(long length, double value)
    {
        Reserve([length], drawn: 0);
        return full([length], Held(value), Type, Device);
    }

    /// <summary>A counter: a buffer of shape <c>[]</c>, initially 0.</summary>
    public Tensor Counter() => zeros([], ScalarType.Int64, Device);

    private Parameter Uniform(long[] shape, double bound) => Create(shape, values => values.uniform_(-bound, bound, Random));

    private Parameter Normal(long[] shape, double deviation) => Create(shape, values => values.normal_(0, deviation, Random));

    private Parameter Create(long[] shape, Func<Tensor, Tensor> draw)
    {
        Reserve(shape, drawn: sizeof(double));
        using DisposeScope scope = NewDisposeScope();
        Tensor values = Device.type == DeviceType.META
            ? empty(shape, Type, Device)
            : draw(empty(shape, ScalarType.Float64)).to(Type).to(Device);
        return scope.Detach(new Parameter(values));
    }

    private void Reserve(long[] shape, int drawn)
    {
        double elements = shape.Aggregate(1.0, (product, length) => product * length); // a product of integers might overflow
        _bytes += TensorBytes + (elements * Type.ElementSize());
        if (_bytes + (elements * drawn) > MaxBytes)
        {
            throw new InsufficientMemoryException(FormattableString.Invariant($"the network takes more than {MaxBytes} bytes."));
        }
    }
}

/// <summary>Parameter initialisation of a network.</summary>
public enum Initialisation
{
    /// <summary>
    /// Convolution weights normal with standard deviation sqrt(2 / (kernel area · output channels)), batch norm weight 1 and bias 0, other
    /// biases 0, linear weights as in PyTorch.
    /// </summary>
    He,

    /// <summary>
    /// What the published code effectively does: its He initialisation of MSDNet does not reach any layer, so PyTorch's defaults apply.
    /// </summary>
    Published,
}

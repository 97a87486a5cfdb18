using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Backbones.Linearised;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>
/// Batch norm over <c>[N, channels, H, W]</c> or <c>[N, channels]</c> (Ioffe and Szegedy, 2015), momentum 0.1. It is used within
/// <see cref="ConvolutionUnits"/> or <see cref="NormReluUnit"/>, which define its linear map together with ReLU's.
/// </summary>
public sealed class BatchNorm : NamedModule
{
    private const double Momentum = 0.1;
    private const double Epsilon = 1e-5;

    private readonly Parameter _weight;
    private readonly Parameter _bias;
    private readonly Tensor _runningMean;
    private readonly Tensor _runningVariance;
    private readonly Tensor _batches;

    /// <param name="factory">Initialises the parameters.</param>
    /// <param name="channels">Channels of input and output.</param>
    public BatchNorm(LayerFactory factory, long channels)
        : base(nameof(BatchNorm))
    {
        _weight = factory.Constant(channels, 1);
        _bias = factory.Constant(channels, 0);
        _runningMean = factory.Buffer(channels, 0);
        _runningVariance = factory.Buffer(channels, 1);
        _batches = factory.Counter();
        register_parameter("weight", _weight);
        register_parameter("bias", _bias);
        register_buffer("running_mean", _runningMean);
        register_buffer("running_var", _runningVariance);
        register_buffer("num_batches_tracked", _batches);
    }

    internal Tensor Forward(Tensor x, Pass pass)
    {
        Tensor y = Normalised(x, pass);
        pass.Cost?.Uncounted(_weight.numel() + _bias.numel(), y);
        return y;
    }

    /// <summary>Weight and bias with which the preceding layer computes norm(output) using the running statistics.</summary>
    /// <param name="weight">The layer's weight, <c>[channels, …]</c>.</param>
    /// <param name="bias">The layer's bias, <c>[channels]</c>; null: none.</param>
    internal (Tensor Weight, Tensor Bias) FoldedInto(Tensor weight, Tensor? bias)
    {
        Tensor scale = _weight / _runningVariance.add(Held(Epsilon), One).sqrt(); // [channels]
        Tensor mean = bias is null ? _runningMean : _runningMean - bias;
        Tensor scaled = weight * scale.view([-1, .. Enumerable.Repeat(1L, (int)weight.ndim - 1)]);
        return (scaled, _bias - (mean * scale));
    }

    /// <summary>
    /// On a tape: writes y = relu(norm(z)) using the batch statistics, and returns what tangent and cotangent need.
    /// </summary>
    internal Tensor ForwardRelu(Tensor z, Pass pass, Tensor y)
    {
        bool update = pass.Statistics == NormStatistics.BatchAndUpdate;
        if (update)
        {
            _batches.add_(Held(1), One);
        }

        return NormRelu.Forward(z, pass[_weight], pass[_bias], update ? (_runningMean, _runningVariance) : null, Momentum, Epsilon, y);
    }

    /// <summary>Writes the tangent of y, given that of z as the sum of up to two parts; false if there is none.</summary>
    internal bool TangentRelu(Tensor? change, Tensor? more, Tensor z, Tensor saved, Pass pass, ParameterTangents direction, Tensor tangent)
    {
        (Tensor? weight, Tensor? bias) = (direction[_weight], direction[_bias]);
        if (change is null && weight is null && bias is null)
        {
            return false;
        }

        NormRelu.Tangent(change ?? zeros_like(z), more, z, pass[_weight], weight, bias, saved, Epsilon, tangent);
        return true;
    }

    /// <summary>∂/∂z, given ∂/∂y; gradients of weight and bias are accumulated.</summary>
    internal Tensor CotangentRelu(Tensor byOutput, Tensor z, Tensor saved, Pass pass, ParameterCotangents gradient)
    {
        (Tensor byInput, Tensor byWeight, Tensor byBias) = NormRelu.Cotangent(byOutput, z, pass[_weight], saved, Epsilon);
        gradient.Add(_weight, byWeight);
        gradient.Add(_bias, byBias);
        return byInput;
    }

    private Tensor Normalised(Tensor x, Pass pass)
    {
        Tensor weight = pass[_weight], bias = pass[_bias];
        switch (pass.Statistics)
        {
            case NormStatistics.Running:
                return nn.functional.batch_norm(x, _runningMean, _runningVariance, weight, bias, training: false, Momentum, Epsilon);
            case NormStatistics.Batch:
                return nn.functional.batch_norm(x, null!, null!, weight, bias, training: true, Momentum, Epsilon);
            default:
                _batches.add_(Held(1), One);
                return nn.functional.batch_norm(x, _runningMean, _runningVariance, weight, bias, training: true, Momentum, Epsilon);
        }
    }
}

/// <summary>Batch norm → ReLU after a layer that defines its own linear map.</summary>
/// <param name="norm">The batch norm.</param>
public sealed class NormReluUnit(BatchNorm norm)
{
    /// <summary>The output, of the input's shape.</summary>
    /// <param name="z"><c>[N, C]</c> or <c>[N, C, H, W]</c>.</param>
    /// <param name="pass">The pass.</param>
    /// <param name="destination">
    /// Only on a tape: the slice of a wider tensor to write the output to, which is then returned.
    /// </param>
    public Tensor Forward(Tensor z, Pass pass, Tensor? destination = null)
    {
        if (pass.Tape is not { } tape)
        {
            return Operators.Relu(norm.Forward(z, pass), pass);
        }

        Tensor y = destination ?? TensorLayout.Empty(z.Sizes(), z);
        Tensor saved = norm.ForwardRelu(z, pass, y);
        tape.Add(new Map(norm, pass, z, saved), y, z);
        return y;
    }

    private sealed class Map : LinearMap
    {
        private readonly BatchNorm _norm;
        private readonly Pass _pass;
        private readonly Tensor _z;
        private readonly Tensor _saved;

        public Map(BatchNorm norm, Pass pass, Tensor z, Tensor saved) => (_norm, _pass, _z, _saved) = (norm, pass, Keep(z), Keep(saved));

        public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? destination)
        {
            Tensor tangent = destination ?? TensorLayout.Empty(_z.Sizes(), _z);
            return _norm.TangentRelu(inputs[0], null, _z, _saved, _pass, direction, tangent) ? tangent : null;
        }

        public override IReadOnlyList<Tensor?> Cotangent(
            Tensor output, IReadOnlyList<bool> needed, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient)
            => [_norm.CotangentRelu(output, _z, _saved, _pass, gradient)];
    }
}

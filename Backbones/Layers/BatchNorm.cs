using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Backbones.Linearised;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>Batch norm over <c>[N, channels, H, W]</c> (Ioffe and Szegedy, 2015), momentum 0.1.</summary>
internal sealed class BatchNorm : NamedModule
{
    private const double Momentum = 0.1;
    private const double Epsilon = 1e-5;

    private readonly Parameter _weight;
    private readonly Parameter _bias;
    private readonly Tensor _runningMean;
    private readonly Tensor _runningVariance;
    private readonly Tensor _batches;

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

    public Tensor Forward(Tensor x, Pass pass)
    {
        Tensor y = Normalised(x, pass);
        pass.Cost?.Free(_weight.numel() + _bias.numel(), y);
        return y;
    }

    /// <summary>Weight and bias with which the layer before computes norm(its output) by the running statistics.</summary>
    /// <param name="weight">The layer's, <c>[channels, …]</c>.</param>
    /// <param name="bias">The layer's, <c>[channels]</c>; null: none.</param>
    public (Tensor Weight, Tensor Bias) FoldedInto(Tensor weight, Tensor? bias)
    {
        Tensor scale = _weight / (_runningVariance + Epsilon).sqrt(); // [channels]
        Tensor mean = bias is null ? _runningMean : _runningMean - bias;
        Tensor scaled = weight * scale.view([-1, .. Enumerable.Repeat(1L, (int)weight.ndim - 1)]);
        return (scaled, _bias - (mean * scale));
    }

    /// <summary>On a tape: writes y = relu(norm(z)), by the batch's statistics, and returns what tangent and cotangent need of it.</summary>
    /// <param name="norms">One, or some side by side: each has as many channels of z.</param>
    /// <param name="z">The norms' input.</param>
    /// <param name="pass">The pass.</param>
    /// <param name="y">Written.</param>
    public static Tensor ForwardRelu(IReadOnlyList<BatchNorm> norms, Tensor z, Pass pass, Tensor y)
    {
        bool update = pass.Statistics == NormStatistics.BatchAndUpdate;
        var parameters = new NormParameters[norms.Count];
        for (int i = 0; i < parameters.Length; i++)
        {
            BatchNorm norm = norms[i];
            _ = update ? norm._batches.add_(1) : null;
            parameters[i] = new(pass[norm._weight], pass[norm._bias], update ? norm._runningMean : null, update ? norm._runningVariance : null);
        }

        return NormRelu.Forward(z, parameters, Momentum, Epsilon, y);
    }

    /// <summary>Writes the tangent of y, given that of z in up to two parts; false: there is none.</summary>
    public static bool TangentRelu(
        IReadOnlyList<BatchNorm> norms, Tensor? change, Tensor? more, Tensor z, Tensor saved, Pass pass, ParameterTangents direction, Tensor tangent)
    {
        Tensor? weight = Joined(norms, norm => direction[norm._weight], norm => norm._weight);
        Tensor? bias = Joined(norms, norm => direction[norm._bias], norm => norm._bias);
        if (change is null && weight is null && bias is null)
        {
            return false;
        }

        NormRelu.Tangent(change ?? zeros_like(z), more, z, Weight(norms, pass), weight, bias, saved, Epsilon, tangent);
        return true;
    }

    /// <summary>∂/∂z, given ∂/∂y; those of weight and bias are added to the gradient for the norms whose outputs are read.</summary>
    public static Tensor CotangentRelu(
        IReadOnlyList<BatchNorm> norms, Tensor byOutput, Tensor z, Tensor saved, Pass pass, Func<long, bool> isRead, ParameterCotangents gradient)
    {
        (Tensor byInput, Tensor byWeight, Tensor byBias) = NormRelu.Cotangent(byOutput, z, Weight(norms, pass), saved, Epsilon);
        long start = 0;
        foreach (BatchNorm norm in norms)
        {
            long channels = norm._weight.numel();
            if (isRead(start))
            {
                gradient.Add(norm._weight, byWeight.narrow(0, start, channels));
                gradient.Add(norm._bias, byBias.narrow(0, start, channels));
            }

            start += channels;
        }

        return byInput;
    }

    private static Tensor Weight(IReadOnlyList<BatchNorm> norms, Pass pass) => Joined(norms, norm => pass[norm._weight], norm => norm._weight)!;

    /// <summary>Vectors of the norms behind each other, zeros where there is none; null: there are none at all.</summary>
    private static Tensor? Joined(IReadOnlyList<BatchNorm> norms, Func<BatchNorm, Tensor?> vector, Func<BatchNorm, Tensor> like)
    {
        Tensor?[] vectors = [.. norms.Select(vector)];
        return vectors.Length == 1 || vectors.All(one => one is null)
            ? vectors[0]
            : cat([.. vectors.Select((one, i) => one ?? zeros_like(like(norms[i])))], 0);
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
                _batches.add_(1);
                return nn.functional.batch_norm(x, _runningMean, _runningVariance, weight, bias, training: true, Momentum, Epsilon);
        }
    }
}

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

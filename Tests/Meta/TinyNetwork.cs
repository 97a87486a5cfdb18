using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Reports;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Tests.Meta;

/// <summary>
/// Two exits in float64 on 3×4×4 images: a block is a convolution, batch norm and tanh, an exit is linear. It is smooth, so that finite
/// differences are exact, and has a parameter that no loss reaches. Uncoupled it is without batch norm: no sample sees another.
/// </summary>
internal sealed class TinyNetwork : MultiExitNetwork
{
    public const string Unused = "unused";
    private const int Side = 4;
    private const int Width = 3;

    private readonly bool _coupled;
    private readonly Parameter[] _kernels;
    private readonly Parameter[] _heads;
    private readonly Parameter[] _biases;
    private readonly Tensor[] _means;
    private readonly Tensor[] _variances;

    public TinyNetwork(Generator random, bool coupled = true)
        : base("Tiny")
    {
        _coupled = coupled;
        Parameter Random(params long[] shape) => new(randn(shape, float64, generator: random).mul(Held(0.3)));

        // What nothing reads stands first, so that an index that skips it would be noticed everywhere after it.
        register_parameter(Unused, Random(2));
        _kernels = [Random(Width, 3, 3, 3), Random(Width, Width, 3, 3)];
        _heads = [Random(Classes, Width * Side * Side), Random(Classes, Width * Side * Side)];
        _biases = [Random(Classes), Random(Classes)];
        _means = [zeros(Width, float64), zeros(Width, float64)];
        _variances = [ones(Width, float64), ones(Width, float64)];
        for (int k = 0; k < Exits; k++)
        {
            register_parameter($"kernel{k}", _kernels[k]);
            register_parameter($"head{k}", _heads[k]);
            register_parameter($"bias{k}", _biases[k]);
            register_buffer($"mean{k}", _means[k]);
            register_buffer($"variance{k}", _variances[k]);
        }
    }

    public override int Exits => 2;

    public override int Classes => 3;

    public static Tensor Images(long samples, Generator random) => randn([samples, 3, Side, Side], float64, generator: random);

    protected override Tensor[] Block(int k, Tensor[] features, Pass pass)
    {
        Tensor x = nn.functional.conv2d(features[0], pass[_kernels[k]], padding: [1, 1]);
        if (!_coupled)
        {
            return [x.tanh()];
        }

        bool remembers = pass.Statistics != NormStatistics.Batch;
        bool training = pass.Statistics != NormStatistics.Running;
        return [nn.functional.batch_norm(x, remembers ? _means[k] : null!, remembers ? _variances[k] : null!, training: training).tanh()];
    }

    protected override Tensor Exit(int k, Tensor[] features, Tensor? earlier, Pass pass)
        => nn.functional.linear(features[0].flatten(1), pass[_heads[k]], pass[_biases[k]]);
}

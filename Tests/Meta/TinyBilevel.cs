using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Tests.Meta;

/// <summary>A bilevel loop on a <see cref="TinyNetwork"/> or another one for its images, with all its parts in reach.</summary>
internal sealed class TinyBilevel : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly Generator _random = new(11);

    /// <param name="train">Of θ's optimiser.</param>
    /// <param name="meta">Of the method and the weighting.</param>
    /// <param name="loss">l; null: plain cross-entropy.</param>
    /// <param name="build">The network; null: a <see cref="TinyNetwork"/>, which offers no linearised pass.</param>
    /// <param name="averaging">Over processes; null: this one trains alone.</param>
    public TinyBilevel(TrainOptions? train = null, MetaOptions? meta = null, TrainingLoss? loss = null, Func<Generator, MultiExitNetwork>? build = null, Averaging? averaging = null)
    {
        train ??= new TrainOptions();
        meta ??= new MetaOptions { Wpn = new WpnOptions { Hidden = 5 } };
        Network = build is null ? new TinyNetwork(_random) : build(_random);
        Optimiser = new Sgd(Network.Parameters, train);
        Method = MetaGradients.Create(meta, Network, Optimiser, loss ?? TrainingLoss.Plain, averaging);
        (int inputs, int outputs) = (SampleWeighting.Inputs(meta, Network.Exits), SampleWeighting.Outputs(meta, Network.Exits));
        Weighting = new SampleWeighting(new WeightPredictionNetwork(meta.Wpn, inputs, outputs, _random, float64, CPU), meta);
        MetaOptimiser = new Adam(Weighting.Network.Parameters, meta.Optimiser.WeightDecay);
        Loop = new BilevelLoop(Method, Optimiser, Weighting, MetaOptimiser, averaging);
        PlainLoop = new BilevelLoop(Method, Optimiser, averaging);
    }

    public MultiExitNetwork Network { get; }

    public Sgd Optimiser { get; }

    public IMetaGradient Method { get; }

    public SampleWeighting Weighting { get; }

    public Adam MetaOptimiser { get; }

    public BilevelLoop Loop { get; }

    public BilevelLoop PlainLoop { get; }

    /// <summary>Random images and labels, others at each call.</summary>
    public LabelledImages Batch(long samples) => new(TinyNetwork.Images(samples, _random), randint(Network.Classes, [samples], int64, generator: _random));

    /// <summary>Random weights around 1, <c>[N, K]</c>.</summary>
    public Tensor Weights(long samples) => rand([samples, Network.Exits], float64, generator: _random) + 0.5;

    /// <summary>θ, batch norm's statistics and the momentum buffers.</summary>
    public double[] BackboneState() => Values([.. Network.Parameters, .. Network.buffers(), .. Optimiser.Buffers]);

    /// <summary>Θ and Adam's moments and steps.</summary>
    public double[] WeightingState() => [.. Values([.. Weighting.Network.Parameters, .. MetaOptimiser.Means, .. MetaOptimiser.Squares]), MetaOptimiser.Steps];

    /// <summary>Logits of the meta samples behind a lookahead step by these weights.</summary>
    public Tensor[] LogitsAhead(IForward forward, Tensor weights, LabelledImages meta, double rate)
        => Network.Forward(meta.Images, Optimiser.Lookahead(forward.Gradient(weights / weights.shape[0]), rate), NormStatistics.Batch);

    /// <summary>A random direction for Θ, the same for the same seed.</summary>
    public IList<Tensor> DirectionOfTheta(ulong seed)
    {
        using var random = new Generator(seed);
        return [.. Weighting.Network.Parameters.Select(parameter => randn(parameter.shape, float64, generator: random))];
    }

    /// <summary>The central difference of a function of Θ along a direction, for a step of that length.</summary>
    public double SlopeAlong(IList<Tensor> direction, double step, Func<double> function)
    {
        double length = Math.Sqrt(direction.Sum(part => part.pow(2).sum().item<double>()));
        double[] ends = [.. new[] { step, -step }.Select(signed =>
        {
            Move(signed / length);
            double value = function();
            Move(-signed / length);
            return value;
        })];
        return (ends[0] - ends[1]) / (2 * step);

        void Move(double factor)
        {
            using IDisposable noGrad = no_grad();
            for (int p = 0; p < direction.Count; p++)
            {
                Weighting.Network.Parameters[p].add_(direction[p], factor);
            }
        }
    }

    public void Dispose()
    {
        Network.Dispose();
        Weighting.Network.Dispose();
        Optimiser.Dispose();
        MetaOptimiser.Dispose();
        Network.Dispose();
        Weighting.Network.Dispose();
        _random.Dispose();
        _scope.Dispose();
    }

    private static double[] Values(IEnumerable<Tensor?> tensors) => [.. tensors.OfType<Tensor>().SelectMany(tensor => tensor.to_type(float64).data<double>().ToArray())];
}

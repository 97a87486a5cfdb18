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
    public TinyBilevel(
        TrainOptions? train = null, MetaOptions? meta = null, TrainingLoss? loss = null, Func<Generator, MultiExitNetwork>? build = null,
        Averaging? averaging = null)
    {
        train ??= new TrainOptions();
        meta ??= new MetaOptions { Wpn = new WpnOptions { Hidden = 5 } };
        Network = build is null ? new TinyNetwork(_random) : build(_random);
        Optimiser = new Sgd(Network.named_parameters(), train);
        Method = MetaGradients.Create(meta, Network, Optimiser, loss ?? TrainingLoss.Plain, averaging);
        Weighting = (LearnedWeighting)WeightingMethod.Predicted.Build(new NoOptions(), meta, Network, _random);
        Loop = LoopOf(Weighting, averaging);
        PlainLoop = LoopOf(new UniformWeighting(), averaging);
    }

    public MultiExitNetwork Network { get; }

    public Sgd Optimiser { get; }

    public IMetaGradient Method { get; }

    public LearnedWeighting Weighting { get; }

    public BilevelLoop Loop { get; }

    public BilevelLoop PlainLoop { get; }

    /// <summary>A loop with another weighting and the same method and optimiser.</summary>
    public BilevelLoop LoopOf(ISampleWeighting weighting, Averaging? averaging = null)
        => new(Method, weighting, Optimiser, new GradientSum(), averaging);

    /// <summary>Random images and labels, others at each call.</summary>
    public LabelledImages Batch(long samples)
        => new(TinyNetwork.Images(samples, _random), randint(Network.Classes, [samples], int64, generator: _random));

    /// <summary>Random weights around 1, <c>[N, K]</c>.</summary>
    public Tensor Weights(long samples) => rand([samples, Network.Exits], float64, generator: _random).add(Held(0.5), One);

    /// <summary>θ, batch norm's statistics and the momentum buffers.</summary>
    public double[] BackboneState() => Values([.. Network.Parameters, .. Network.buffers(), .. Optimiser.Buffers]);

    /// <summary>Θ and Adam's moments and steps.</summary>
    public double[] WeightingState() =>
    [
        .. Values(
            [.. Weighting.Network.Parameters, .. Weighting.Optimiser.Means, .. Weighting.Optimiser.Squares]), Weighting.Optimiser.Steps,
    ];

    /// <summary>Logits of the meta samples after a lookahead step by these weights.</summary>
    public Tensor[] LogitsAhead(IForward forward, Tensor weights, LabelledImages meta, double rate)
    {
        IReadOnlyList<Tensor?> gradient = forward.Gradient(weights.div(Held(weights.shape[0])));
        return Network.Forward(meta.Images, Optimiser.Lookahead(gradient, rate), NormStatistics.Batch);
    }

    /// <summary>A random direction for Θ, the same for the same seed.</summary>
    public IList<Tensor> DirectionOfTheta(ulong seed)
    {
        using var random = new Generator(seed);
        return [.. Weighting.Network.Parameters.Select(parameter => randn(parameter.shape, float64, generator: random))];
    }

    /// <summary>The central difference of a function of Θ along a direction, for a step of that length.</summary>
    public double SlopeAlong(IList<Tensor> direction, double step, Func<double> function)
    {
        double length = Math.Sqrt(direction.Sum(part => part.pow(Held(2)).sum().item<double>()));
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
                Weighting.Network.Parameters[p].add_(direction[p], Held(factor));
            }
        }
    }

    public void Dispose()
    {
        Network.Dispose();
        Optimiser.Dispose();
        Weighting.Dispose();
        _random.Dispose();
        _scope.Dispose();
    }

    private static double[] Values(IEnumerable<Tensor?> tensors)
        => [.. tensors.OfType<Tensor>().SelectMany(tensor => tensor.to_type(float64).data<double>().ToArray())];
}

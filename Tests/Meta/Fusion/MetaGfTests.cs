using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Msd;
using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Fusion;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;
using Imta.MetaWeight.Tests.Backbones;
using Imta.MetaWeight.Tests.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Tests.Meta.Fusion;

/// <summary>Epochs of Meta-GF on a small MSDNet.</summary>
public sealed class MetaGfTests : IDisposable
{
    private const int Blocks = 3, Batches = 2;
    private const double Rate = 0.05;

    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    [Theory]
    [InlineData(FusionUnit.Tensor, FusionActivation.Sigmoid)]
    [InlineData(FusionUnit.Channel, FusionActivation.Exponential)]
    [InlineData(FusionUnit.ChannelPair, FusionActivation.Sigmoid)]
    public void The_recorded_pass_and_autograd_give_the_same_network(FusionUnit unit, FusionActivation activation)
    {
        var options = new MetaGfOptions { Unit = unit, Activation = activation, LastStart = 0.5 };
        using var recorded = new Run(options);
        using var byAutograd = new Run(options, MetaGradientMethod.Unrolled);

        GoldenFile.RelativeError(recorded.AfterEpochs(2), byAutograd.AfterEpochs(2)).Should().BeLessThan(1e-10);
    }

    [Fact]
    public void Equal_weights_fuse_to_the_mean_over_the_exits_that_reach_a_parameter_and_a_head_takes_its_own()
    {
        using var run = new Run(new MetaGfOptions());
        int[][] reach = run.Reach();
        double[][] start = run.Parameters();
        double[][][] ofExits = [.. Enumerable.Range(0, Blocks).Select(k =>
        {
            run.Pass(0, k);
            return run.Parameters();
        })];

        run.Step(0, Blocks, batch: 0);

        double[][] fused = run.Parameters();
        for (int p = 0; p < start.Length; p++)
        {
            double[] mean = [.. start[p].Select((_, i) => reach[p].Average(k => ofExits[k][p][i]))];
            GoldenFile.RelativeError(fused[p], mean).Should().BeLessThan(1e-12, run.Network.ParameterNames[p]);
        }

        int head = run.Network.ParameterNames.ToList().FindIndex(name => name.StartsWith("classifier.1.", StringComparison.Ordinal));
        reach[head].Should().Equal(1);
        reach.Should().Contain(exits => exits.Length == Blocks);
    }

    [Fact]
    public void Weights_are_learned_on_in_place_and_stay_after_the_first_epoch_where_the_average_replaces_them()
    {
        using var inPlace = new Run(new MetaGfOptions());
        using var replaced = new Run(new MetaGfOptions { Averaging = FusionAveraging.Replaced });

        (double[] first, double[] second) = (inPlace.WeightsAfterEpoch(0), inPlace.WeightsAfterEpoch(1));
        (double[] frozen, double[] same) = (replaced.WeightsAfterEpoch(0), replaced.WeightsAfterEpoch(1));

        frozen.Should().Equal(first).And.Equal(same).And.Contain(value => Math.Abs(value - 1) > 1e-3);
        second.Should().NotEqual(first);
    }

    [Fact]
    public void A_saved_state_goes_on_to_the_same_numbers_from_every_batch()
    {
        using var whole = new Run(new MetaGfOptions());
        double[] expected = whole.AfterEpochs(2);
        int steps = (Blocks + 1) * Batches;
        foreach (int at in Enumerable.Range(0, (2 * steps) + 1))
        {
            using var first = new Run(new MetaGfOptions());
            first.Steps(0, at);
            using var second = new Run(new MetaGfOptions());
            second.Network.load_state_dict(first.Network.state_dict());
            second.Optimiser.LoadState(first.Optimiser.State);
            second.MetaGf.LoadState(first.MetaGf.State);
            second.Steps(at, 2 * steps);
            second.Values().Should().Equal(expected, $"stopped after step {at}");
        }
    }

    /// <summary>As <c>run.skipNonFinite</c> undoes a batch, at the first of each pass and after it.</summary>
    [Fact]
    public void A_batch_that_is_not_finite_can_be_undone_at_every_step()
    {
        using var clean = new Run(new MetaGfOptions());
        using var disturbed = new Run(new MetaGfOptions());
        int steps = (Blocks + 1) * Batches;
        for (int step = 0; step < steps; step++)
        {
            disturbed.StepAndUndo(step);
            disturbed.Steps(step, step + 1);
            clean.Steps(step, step + 1);
        }

        disturbed.Values().Should().Equal(clean.Values()).And.OnlyContain(value => double.IsFinite(value));
    }

    [Fact]
    public void Large_exponents_fuse_to_the_exit_with_the_largest()
    {
        using var run = new Run(
            new MetaGfOptions { Activation = FusionActivation.Exponential, Temperature = 1000, Start = 1, LastStart = 20 });
        foreach (int k in Enumerable.Range(0, Blocks))
        {
            run.Pass(0, k);
        }

        int shared = run.Reach().ToList().FindIndex(exits => exits.Contains(Blocks - 1) && exits.Length > 1);
        double[] ofLast = run.Parameters()[shared];
        run.Step(0, Blocks, batch: 0);

        run.Parameters()[shared].Zip(ofLast).Should().OnlyContain(pair => Math.Abs(pair.First - pair.Second) < 1e-12);
        run.Values().Should().OnlyContain(value => double.IsFinite(value));
    }

    [Fact]
    public void Processes_with_different_batches_stay_the_same_network()
    {
        double[][] ranks = ThreadGroup.Run(2, all =>
        {
            using var run = new Run(new MetaGfOptions(), averaging: all.AllReduceMean, rank: all.Shard.Rank);
            run.Steps(0, (Blocks + 1) * Batches);
            return run.Learned();
        });
        using var alone = new Run(new MetaGfOptions());
        alone.Steps(0, (Blocks + 1) * Batches);

        ranks[1].Should().Equal(ranks[0]);
        ranks[0].Should().NotEqual(alone.Learned());
    }

    [Fact]
    public void A_network_of_one_exit_is_trained_by_its_own_pass()
    {
        using var run = new Run(new MetaGfOptions(), blocks: 1);
        run.Pass(0, 0);
        double[][] trained = run.Parameters();

        run.Pass(0, 1);
        run.MetaGf.EndEpoch();

        run.Parameters().Zip(trained).Should().OnlyContain(pair => GoldenFile.RelativeError(pair.First, pair.Second) < 1e-14);
        GoldenFile.Values(run.MetaGf.Fusion.Weights[0]).Should().OnlyContain(weight => weight == 1);
    }

    private sealed class Run : IDisposable
    {
        private readonly Generator _random = new(3);
        private readonly LabelledImages[] _batches;

        public Run(
            MetaGfOptions options, MetaGradientMethod gradient = MetaGradientMethod.Forward, int blocks = Blocks,
            Averaging? averaging = null, int rank = 0)
        {
            Network = SmallMsdNet.Build(float64, _random, blocks: blocks);
            Optimiser = new Sgd(Network.named_parameters(), new TrainOptions());
            IMetaGradient method = MetaGradients.Create(
                new MetaOptions { Gradient = gradient }, Network, Optimiser, TrainingLoss.Plain);
            MetaGf = new MetaGf(options, Network, method, Optimiser, averaging);
            _random.manual_seed(rank);
            _batches = [.. Enumerable.Range(0, Batches).Select(_ => new LabelledImages(
                randn([6, 3, 32, 32], float64, generator: _random), randint(Network.Classes, [6], int64, generator: _random)))];
        }

        public MsdNet Network { get; }

        /// <summary>The exits whose logits depend on each parameter, by autograd.</summary>
        public int[][] Reach()
        {
            Tensor[] logits = Network.Forward(_batches[0].Images, NormStatistics.Batch);
            IReadOnlyList<Tensor?>[] gradients =
            [
                .. logits.Select(z => Autograd.Gradients("logits", [z.sum()], null, Network.Parameters, retainGraph: true)),
            ];
            return [.. Network.Parameters.Select((_, p) => Enumerable.Range(0, Blocks).Where(k => gradients[k][p] is not null).ToArray())];
        }

        public Sgd Optimiser { get; }

        public MetaGf MetaGf { get; }

        public void Step(int epoch, int pass, int batch)
        {
            using DisposeScope scope = NewDisposeScope();
            MetaGf.Step(_batches[batch], new PassPosition(epoch, Epochs: 4, pass), Rate);
        }

        public void Pass(int epoch, int pass)
        {
            for (int batch = 0; batch < Batches; batch++)
            {
                Step(epoch, pass, batch);
            }
        }

        /// <summary>Steps of a run, numbered over all epochs.</summary>
        public void Steps(int first, int end)
        {
            int ofEpoch = MetaGf.Passes * Batches;
            for (int step = first; step < end; step++)
            {
                Step(step / ofEpoch, step % ofEpoch / Batches, step % Batches);
                if ((step + 1) % ofEpoch == 0)
                {
                    MetaGf.EndEpoch();
                }
            }
        }

        /// <summary>A step on images that are not numbers, and the state from before it.</summary>
        public void StepAndUndo(int step)
        {
            StateTree[] before = [new StateTree(Network.state_dict()).Copy(), Optimiser.State.Copy(), MetaGf.State.Copy()];
            LabelledImages batch = _batches[step % Batches];
            _batches[step % Batches] = batch with { Images = full_like(batch.Images, Held(double.NaN)) };
            Step(0, step / Batches, step % Batches);
            _batches[step % Batches] = batch;
            Network.LoadState(before[0].Tensors);
            Optimiser.LoadState(before[1]);
            MetaGf.LoadState(before[2]);
        }

        public double[] AfterEpochs(int epochs)
        {
            Steps(0, epochs * MetaGf.Passes * Batches);
            return Values();
        }

        public double[] WeightsAfterEpoch(int epoch)
        {
            int ofEpoch = MetaGf.Passes * Batches;
            Steps(epoch * ofEpoch, (epoch + 1) * ofEpoch);
            return [.. MetaGf.Fusion.Weights.SelectMany(GoldenFile.Values)];
        }

        public double[][] Parameters() => [.. Network.Parameters.Select(GoldenFile.Values)];

        /// <summary>θ and w, which processes share; batch norm's statistics are each one's own.</summary>
        public double[] Learned() => [.. Network.Parameters.Concat(MetaGf.Fusion.Weights).SelectMany(GoldenFile.Values)];

        public double[] Values() => [.. Network.state_dict().Values.Concat(MetaGf.Fusion.Weights).SelectMany(GoldenFile.Values)];

        public void Dispose()
        {
            MetaGf.Dispose();
            Optimiser.Dispose();
            Network.Dispose();
            _random.Dispose();
        }
    }
}

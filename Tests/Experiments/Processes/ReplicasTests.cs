using System.Diagnostics;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Processes;
using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Tests.Meta;

namespace Imta.MetaWeight.Tests.Experiments.Processes;

/// <summary>What processes that share each batch compute: against one process, and against their shards one after the other.</summary>
public sealed class ReplicasTests : IDisposable
{
    private const int Steps = 3;

    private static readonly Rates OfTest = new(0.1, 0.01);
    private static readonly TrainOptions Train = new() { Momentum = 0.9, Nesterov = true, WeightDecay = 1e-3 };

    private readonly DisposeScope _scope = NewDisposeScope();

    public ReplicasTests() => Skip.If(Imta.MetaWeight.Native.ProcessGroup.Engines == 0, "this build has no engine to join processes by");

    public void Dispose() => _scope.Dispose();

    [SkippableTheory]
    [InlineData(2, 16)]
    [InlineData(2, 13)]
    [InlineData(3, 14)]
    public void Plain_training_without_batch_coupling_is_that_of_one_process(int processes, int samples)
    {
        Func<Averaging?, TinyBilevel> build = averaging => new TinyBilevel(Train, build: random => new TinyNetwork(random, coupled: false), averaging: averaging);
        double[] alone = Trained(build, samples, Shard.Whole, averaging: null, tiny => tiny.PlainLoop).Backbone;

        foreach ((double[] backbone, _) in ProcessGroupOnThreads.Run(processes, all => Trained(build, samples, all.Shard, all.Average, tiny => tiny.PlainLoop)))
        {
            GoldenFile.RelativeError(backbone, alone).Should().BeLessThan(1e-10);
        }
    }

    [SkippableTheory]
    [InlineData(MetaGradientMethod.Forward, MetaMemory.Normal, 2, 16)]
    [InlineData(MetaGradientMethod.Forward, MetaMemory.Low, 2, 16)]
    [InlineData(MetaGradientMethod.Forward, MetaMemory.Normal, 3, 17)]
    [InlineData(MetaGradientMethod.Unrolled, MetaMemory.Normal, 2, 16)]
    [InlineData(MetaGradientMethod.Unrolled, MetaMemory.Normal, 2, 13)]
    public void With_a_global_lookahead_the_bilevel_step_without_batch_coupling_is_that_of_one_process(MetaGradientMethod method, MetaMemory memory, int processes, int samples)
    {
        var meta = new MetaOptions
        {
            Gradient = method,
            Memory = memory,
            Lookahead = LookaheadScope.Global,
            Objective = MetaObjectiveKind.Vanilla,
            Centring = Centring.Col,
            Wpn = new WpnOptions { Hidden = 5 },
        };
        Func<Generator, MultiExitNetwork> network = method == MetaGradientMethod.Forward ? random => new TinyLinearisable(random, coupled: false) : random => new TinyNetwork(random, coupled: false);
        Func<Averaging?, TinyBilevel> build = averaging => new TinyBilevel(Train, meta, build: network, averaging: averaging);
        (double[] backbone, double[] weighting) = Trained(build, samples, Shard.Whole, averaging: null, tiny => tiny.Loop);

        foreach ((double[] ofBackbone, double[] ofWeighting) in ProcessGroupOnThreads.Run(processes, all => Trained(build, samples, all.Shard, all.Average, tiny => tiny.Loop)))
        {
            GoldenFile.RelativeError(ofBackbone, backbone).Should().BeLessThan(1e-10);
            GoldenFile.RelativeError(ofWeighting, weighting).Should().BeLessThan(1e-10);
        }
    }

    [SkippableTheory]
    [InlineData(MetaGradientMethod.Forward, Centring.Mat, MetaObjectiveKind.Allocated, 2, 16)]
    [InlineData(MetaGradientMethod.Forward, Centring.Row, MetaObjectiveKind.Allocated, 2, 13)]
    [InlineData(MetaGradientMethod.Forward, Centring.Col, MetaObjectiveKind.Vanilla, 3, 20)]
    [InlineData(MetaGradientMethod.Unrolled, Centring.Mat, MetaObjectiveKind.Allocated, 2, 18)]
    [InlineData(MetaGradientMethod.Unrolled, Centring.Col, MetaObjectiveKind.Allocated, 3, 23)]
    [InlineData(MetaGradientMethod.FiniteDifference, Centring.Col, MetaObjectiveKind.Allocated, 2, 16)]
    public void With_local_lookaheads_it_is_that_of_the_shards_one_after_the_other(MetaGradientMethod method, Centring centring, MetaObjectiveKind objective, int processes, int samples)
    {
        var meta = new MetaOptions { Gradient = method, Centring = centring, Objective = objective, Wpn = new WpnOptions { Hidden = 5 } };
        Func<Generator, MultiExitNetwork> network = method == MetaGradientMethod.Forward ? random => new TinyLinearisable(random) : random => new TinyNetwork(random);
        Func<Averaging?, TinyBilevel> build = averaging => new TinyBilevel(Train, meta, build: network, averaging: averaging);
        (double[] Backbone, double[] Weighting)[] expected = OneAfterTheOther(build, processes, samples);

        (double[] Backbone, double[] Weighting)[] met = ProcessGroupOnThreads.Run(processes, all => Trained(build, samples, all.Shard, all.Average, tiny => tiny.Loop));

        for (int rank = 0; rank < processes; rank++)
        {
            GoldenFile.RelativeError(met[rank].Backbone, expected[rank].Backbone).Should().BeLessThan(1e-10, "batch norm's statistics of each process are among it");
            GoldenFile.RelativeError(met[rank].Weighting, expected[rank].Weighting).Should().BeLessThan(1e-10);
        }
    }

    [SkippableFact]
    public void Means_weigh_samples_keep_shapes_and_fill_several_buckets()
    {
        Tensor?[][] given = [.. new[] { 1.0, 4.0 }.Select(value => new Tensor?[] { full([2, 3], value), null, full([3000, 3000], value), full([1], 10 * value) })]; // 36 MB: two buckets

        double[][] met = ProcessGroupOnThreads.Run(2, all =>
        {
            IReadOnlyList<Tensor?> means = all.Average(given[all.Shard.Rank], samples: all.IsFirst ? 3 : 1);
            means.Select(mean => mean?.shape.Length).Should().Equal(2, null, 2, 1);
            means[2]!.sum().item<float>().Should().BeApproximately(9e6f * 1.75f, 100);
            return new[] { means[0]!.max().item<float>(), means[0]!.min().item<float>(), (double)means[3]!.item<float>() };
        });

        met.Should().AllBeEquivalentTo(new[] { 1.75, 1.75, 17.5 });
    }

    [SkippableFact]
    public void What_one_process_sees_all_agree_on()
    {
        Agreement[] met = ProcessGroupOnThreads.Run(3, all =>
        {
            all.Agree(stop: false).Should().Be(new Agreement(false, false, null));
            all.Gather(tensor(new[] { all.Shard.Rank, 7L })).data<long>().ToArray().Should().Equal(0, 7, 1, 7, 2, 7);
            all.Share(all.Shard.Rank == 1 ? [1, 2, 3] : null, from: 1).Should().Equal(1, 2, 3);
            return all.Agree(stop: all.Shard.Rank == 2, isDue: all.IsFirst, problem: all.IsFirst ? null : $"exit {all.Shard.Rank}");
        });

        met.Should().AllBeEquivalentTo(new Agreement(true, true, "exit 1"));
    }

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public void Who_waits_for_a_process_that_ended_or_hangs_is_told(bool ended)
    {
        var clock = Stopwatch.StartNew();
        string[] met = ProcessGroupOnThreads.Run(
            2,
            all =>
            {
                if (!all.IsFirst)
                {
                    if (!ended)
                    {
                        Thread.Sleep(TimeSpan.FromSeconds(4));
                    }

                    return "";
                }

                return FluentActions.Invoking(() => all.Agree(stop: false)).Should().Throw<LostProcessException>().Which.Message;
            },
            patience: ended ? 60 : 2);

        met[0].Should().StartWith("process 0 of 2 does not hear from the others (").And.NotContain("\n").And.NotContain(".cc");
        clock.Elapsed.Should().BeLessThan(TimeSpan.FromSeconds(30), "a closed connection is noticed at once, silence behind the time that was given");
    }

    [SkippableFact]
    public void Who_is_the_only_one_to_come_is_told()
    {
        using var replicas = Replicas.Of(new LaunchPlace(1, 2, 1, 2, "127.0.0.1", ProcessGroupOnThreads.FreePort()), 2, TimeSpan.FromSeconds(1));

        FluentActions.Invoking(replicas.Meet).Should().Throw<LostProcessException>().WithMessage("process 1 of 2 waited for the others at 127.0.0.1:* in vain (*); start all of them, with MASTER_ADDR and MASTER_PORT that lead to process 0*");
    }

    private static (double[] Backbone, double[] Weighting) Trained(Func<Averaging?, TinyBilevel> build, int samples, Shard shard, Averaging? averaging, Func<TinyBilevel, BilevelLoop> loop)
    {
        using TinyBilevel tiny = build(averaging);
        for (int step = 0; step < Steps; step++)
        {
            loop(tiny).Step(Of(tiny.Batch(samples), shard), OfTest, updateWeighting: true);
        }

        return (tiny.BackboneState(), tiny.WeightingState());
    }

    /// <summary>The step of several processes without any: every rank's replica in turn, and means by hand.</summary>
    private static (double[] Backbone, double[] Weighting)[] OneAfterTheOther(Func<Averaging?, TinyBilevel> build, int processes, int samples)
    {
        TinyBilevel[] ranks = [.. Enumerable.Range(0, processes).Select(_ => build(null))];
        for (int step = 0; step < Steps; step++)
        {
            LabelledImages[][] halves = [.. ranks.Select((tiny, rank) => Halves(Of(tiny.Batch(samples), new Shard(rank, processes))))];
            Part(ranks, [.. halves.Select(of => of[0])], [.. halves.Select(of => of[1])]);
            Part(ranks, [.. halves.Select(of => of[1])], [.. halves.Select(of => of[0])]);
        }

        (double[], double[])[] states = [.. ranks.Select(tiny => (tiny.BackboneState(), tiny.WeightingState()))];
        Array.ForEach(ranks, tiny => tiny.Dispose());
        return states;
    }

    private static void Part(TinyBilevel[] ranks, LabelledImages[] train, LabelledImages[] meta)
    {
        IForward[] forwards = [.. ranks.Select((tiny, rank) => tiny.Method.Forward(train[rank]))];
        Tensor[] features = [.. ranks.Select((tiny, rank) => tiny.Weighting.Features(forwards[rank].CrossEntropies, forwards[rank].Logits))];
        long[] sizes = [.. train.Select(shard => shard.Labels.shape[0])];
        Tensor?[] byTheta = Mean(sizes, [.. ranks.Select((tiny, rank) =>
        {
            Tensor weights = tiny.Weighting.Weights(features[rank]);
            MetaGradient gradient = tiny.Method.WeightGradient(forwards[rank], weights.detach(), meta[rank], OfTest.Backbone);
            return autograd.grad([weights], [.. tiny.Weighting.Network.Parameters], [gradient.ByWeights]).ToArray<Tensor?>();
        })]);
        Array.ForEach(ranks, tiny => tiny.MetaOptimiser.Apply([.. byTheta.Select(part => part!)], OfTest.Meta));

        Tensor?[] gradients = Mean(sizes, [.. ranks.Select((tiny, rank) => forwards[rank].Gradient(tiny.Weighting.Weights(features[rank]).detach() / sizes[rank]).ToArray())]);
        Array.ForEach(ranks, tiny => tiny.Optimiser.Apply(gradients, OfTest.Backbone));
    }

    private static Tensor?[] Mean(long[] sizes, Tensor?[][] ofRanks) => [.. Enumerable.Range(0, ofRanks[0].Length).Select(p => ofRanks[0][p] is null
        ? null
        : sizes.Select((size, rank) => ofRanks[rank][p]! * ((double)size / sizes.Sum())).Aggregate((a, b) => a + b))];

    private static LabelledImages Of(LabelledImages batch, Shard shard)
    {
        Tensor within = shard.Within(batch.Labels.shape[0]);
        return new LabelledImages(batch.Images.index_select(0, within), batch.Labels.index_select(0, within));
    }

    private static LabelledImages[] Halves(LabelledImages shard) => [.. shard.Images.chunk(2).Zip(shard.Labels.chunk(2), (images, labels) => new LabelledImages(images, labels))];
}

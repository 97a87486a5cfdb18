using System.Globalization;
using System.IO.Hashing;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Training.Distributed;
using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;
using Imta.MetaWeight.Tests.Meta;

namespace Imta.MetaWeight.Tests.Experiments.Training.Distributed;

/// <summary>
/// What ranks that share each batch compute, against one process, and against their shards one after the other: for ranks on threads, and
/// for real ones.
/// </summary>
/// <param name="Name">What holds.</param>
/// <param name="Ranks">For how many.</param>
/// <param name="Error">What each of them finds: a relative error; or it throws.</param>
internal sealed record ProcessGroupLaw(string Name, int Ranks, Func<ProcessGroup, double> Error)
{
    private const int Steps = 3;

    private static readonly LearningRates OfTest = new(0.1, 0.01);
    private static readonly TrainOptions Train = new() { Momentum = 0.9, Nesterov = true, WeightDecay = 1e-3 };

    public static IReadOnlyList<ProcessGroupLaw> All { get; } =
    [
        Plain(2, 16), Plain(2, 13), Plain(3, 14),
        Global(MetaGradientMethod.Forward, MetaMemory.Normal, 2, 16), Global(MetaGradientMethod.Forward, MetaMemory.Low, 2, 16), Global(
            MetaGradientMethod.Forward, MetaMemory.Normal, 3, 17),
        Global(MetaGradientMethod.Unrolled, MetaMemory.Normal, 2, 16), Global(MetaGradientMethod.Unrolled, MetaMemory.Normal, 2, 13),
        Local(MetaGradientMethod.Forward, Centring.Mat, MetaObjectiveKind.Allocated, 2, 16), Local(
            MetaGradientMethod.Forward, Centring.Row, MetaObjectiveKind.Allocated, 2, 13),
        Local(MetaGradientMethod.Forward, Centring.Col, MetaObjectiveKind.Vanilla, 3, 20), Local(
            MetaGradientMethod.Unrolled, Centring.Mat, MetaObjectiveKind.Allocated, 2, 18),
        Local(MetaGradientMethod.Unrolled, Centring.Col, MetaObjectiveKind.Allocated, 3, 23), Local(
            MetaGradientMethod.FiniteDifference, Centring.Col, MetaObjectiveKind.Allocated, 2, 16),
        new("means weigh samples, keep shapes and fill several buckets", 2, MeansWeighSamples), new(
            "means weigh samples, keep shapes and fill several buckets", 3, MeansWeighSamples),
        new("sums have the same bits in all ranks", 2, SameBits), new("sums have the same bits in all ranks", 3, SameBits),
        new("what one rank sees all agree on", 2, Agreed), new("what one rank sees all agree on", 3, Agreed),
        new("what cannot be done in one rank is told in all", 2, Told), new("what cannot be done in one rank is told in all", 3, Told),
    ];

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Name}, {Ranks} ranks");

    private static ProcessGroupLaw Plain(int ranks, int samples)
        => new($"plain training of {samples} without batch coupling is that of one process", ranks, all =>
    {
        Func<Averaging?, TinyBilevel> build = averaging
            => new TinyBilevel(Train, build: random => new TinyNetwork(random, coupled: false), averaging: averaging);
        double[] alone = Trained(build, samples, Shard.Full, averaging: null, tiny => tiny.PlainLoop).Backbone;
        return GoldenFile.RelativeError(Trained(build, samples, all.Shard, all.AllReduceMean, tiny => tiny.PlainLoop).Backbone, alone);
    });

    private static ProcessGroupLaw Global(MetaGradientMethod method, MetaMemory memory, int ranks, int samples)
        => new($"with a global lookahead the bilevel step of {samples} without batch coupling is that of one process ({method}, {memory} "
            + "memory)", ranks, all =>
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
            Func<Generator, MultiExitNetwork> network = method == MetaGradientMethod.Forward ? random
                => new TinyLinearisable(random, coupled: false) : random => new TinyNetwork(random, coupled: false);
            Func<Averaging?, TinyBilevel> build = averaging => new TinyBilevel(Train, meta, build: network, averaging: averaging);
            return Furthest(
                Trained(build, samples, all.Shard, all.AllReduceMean, tiny => tiny.Loop),
                Trained(build, samples, Shard.Full, averaging: null, tiny => tiny.Loop));
        });

    private static ProcessGroupLaw Local(MetaGradientMethod method, Centring centring, MetaObjectiveKind objective, int ranks, int samples)
        => new($"with local lookaheads the bilevel step of {samples} is that of the shards one after the other ({method}, {centring}, "
            + $"{objective})", ranks, all =>
        {
            var meta = new MetaOptions
            {
                Gradient = method,
                Centring = centring,
                Objective = objective,
                Wpn = new WpnOptions { Hidden = 5 },
            };
            Func<Generator, MultiExitNetwork> network = method == MetaGradientMethod.Forward ? random
                => new TinyLinearisable(random) : random => new TinyNetwork(random);
            Func<Averaging?, TinyBilevel> build = averaging => new TinyBilevel(Train, meta, build: network, averaging: averaging);
            // batch norm's statistics are among it
            return Furthest(
                Trained(build, samples, all.Shard, all.AllReduceMean, tiny => tiny.Loop),
                OneAfterTheOther(build, ranks, samples)[all.Shard.Rank]);
        });

    private static double Furthest((double[] Backbone, double[] Weighting) found, (double[] Backbone, double[] Weighting) expected)
        => Math.Max(
            GoldenFile.RelativeError(found.Backbone, expected.Backbone), GoldenFile.RelativeError(found.Weighting, expected.Weighting));

    private static double MeansWeighSamples(ProcessGroup all)
    {
        int rank = all.Shard.Rank, ranks = all.Shard.Count;
        // of 1, 3, 5, … samples: n² in all
        double own = rank + 1, samples = (2 * rank)
            + 1, mean = Enumerable.Range(0, ranks).Sum(r => (r + 1.0) * ((2 * r) + 1)) / (ranks * ranks);
        // 36 MB: two buckets
        IReadOnlyList<Tensor?> means = all.AllReduceMean(
            [full([2, 3], Held(own)), null, full([3000, 3000], Held(own)), full([1], Held(10 * own))], (long)samples);

        means.Select(one => one?.shape.Length).Should().Equal(2, null, 2, 1);
        means[0]!.shape.Should().Equal(2, 3);
        return new[] { means[0]!.div(Held(mean)), means[2]!.div(Held(mean)), means[3]!.div(Held(10 * mean)) }.Max(
            ratio => ratio.sub(Held(1)).abs().max().item<float>()) is var furthest
            && furthest < 1e-6f
            ? 0
            : furthest;
    }

    private static double SameBits(ProcessGroup all)
    {
        foreach (ScalarType type in (ScalarType[])[float32, float64])
        {
            using Generator random = manual_seed(all.Shard.Rank);
            Tensor own = randn([5_000_001], type);
            Tensor sum = own.clone();
            all.AllReduceSum(sum);
            all.AllGather(tensor(new[] { (long)XxHash3.HashToUInt64(sum.bytes) })).data<long>().ToArray().Distinct().Should()
                .ContainSingle("every rank has the same bits");
            all.AllReduceSum(own);
            own.bytes.SequenceEqual(sum.bytes).Should().BeTrue("the same sum again has the same bits");
        }

        return 0;
    }

    private static double Agreed(ProcessGroup all)
    {
        int ranks = all.Shard.Count;
        all.AllReduceFlags(stop: false).Should().Be(new CollectiveStatus(false, false, null));
        all.AllGather(tensor(new[] { all.Shard.Rank, 7L })).data<long>().ToArray().Should()
            .Equal(Enumerable.Range(0, ranks).SelectMany(rank => (long[])[rank, 7]));
        all.Broadcast(all.Shard.Rank == 1 ? [1, 2, 3] : null, from: 1).Should().Equal(1, 2, 3);
        all.Broadcast(all.Shard.Rank == ranks - 1 ? "ε" : null, from: ranks - 1).Should().Be("ε");
        all.Broadcast(all.IsRankZero ? Array.Empty<byte>() : null).Should().BeEmpty();
        Tensor[] taken = [full([3], Held(all.Shard.Rank), int64), full([2, 2], Held(all.Shard.Rank), float32)];
        all.BroadcastFromRankZero(taken);
        taken[0].sum().item<long>().Should().Be(0);
        taken[1].sum().item<float>().Should().Be(0);
        all.AllReduceFlags(
            stop: all.Shard.Rank == ranks - 1, isDue: all.IsRankZero, problem: all.IsRankZero ? null : $"exit {all.Shard.Rank}",
            exitCode: 2)
            .Should()
            .Be(new CollectiveStatus(true, true, "exit 1", 2));
        all.FinalBarrier();
        return 0;
    }

    private static double Told(ProcessGroup all)
    {
        all.RunCollectively(all.IsRankZero ? null : () => { });
        FluentActions.Invoking(() => all.RunCollectively(() => throw new UsageException($"no {all.Shard.Rank}"))).Should()
            .Throw<CollectiveFailureException>()
            .WithMessage("no 0").Which.ExitCode.Should()
            .Be(2);
        FluentActions.Invoking(() => all.RunCollectively(all.Shard.Rank == 1 ? () => throw new IOException("disk full") : null)).Should()
            .Throw<CollectiveFailureException>()
            .WithMessage($"rank 1 of {all.Shard.Count} on *: disk full").Which.ExitCode.Should().Be(1);
        return 0;
    }

    private static (double[] Backbone, double[] Weighting) Trained(
        Func<Averaging?, TinyBilevel> build, int samples, Shard shard, Averaging? averaging, Func<TinyBilevel, BilevelLoop> loop)
    {
        using TinyBilevel tiny = build(averaging);
        for (int step = 0; step < Steps; step++)
        {
            loop(tiny).Step(Of(tiny.Batch(samples), shard), OfTest, learns: true);
        }

        return (tiny.BackboneState(), tiny.WeightingState());
    }

    /// <summary>The step of several processes without any: every rank's replica in turn, and means by hand.</summary>
    private static (double[] Backbone, double[] Weighting)[] OneAfterTheOther(
        Func<Averaging?, TinyBilevel> build, int processes, int samples)
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
        Tensor[] features = [.. ranks.Select((tiny, rank) => tiny.Weighting.Features(forwards[rank]))];
        long[] sizes = [.. train.Select(shard => shard.Labels.shape[0])];
        Tensor?[] byTheta = Mean(sizes, [.. ranks.Select((tiny, rank) =>
        {
            Tensor weights = tiny.Weighting.Weights(features[rank]);
            MetaGradient gradient = tiny.Method.WeightGradient(forwards[rank], weights.detach(), meta[rank], OfTest.Backbone);
            return autograd.grad([weights], [.. tiny.Weighting.Network.Parameters], [gradient.GradWeights]).ToArray<Tensor?>();
        })]);
        Array.ForEach(ranks, tiny => tiny.Weighting.Optimiser.Apply([.. byTheta.Select(part => part!)], OfTest.Meta));

        Tensor?[] gradients = Mean(
            sizes,
            [
                .. ranks.Select((tiny, rank) =>
                {
                    Tensor weights = tiny.Weighting.Weights(features[rank]).detach();
                    return forwards[rank].Gradient(weights.div(Held(sizes[rank]))).ToArray();
                })
            ]);
        Array.ForEach(ranks, tiny => tiny.Optimiser.Apply(gradients, OfTest.Backbone));
    }

    private static Tensor?[] Mean(long[] sizes, Tensor?[][] ofRanks)
        => [.. Enumerable.Range(0, ofRanks[0].Length).Select(p => ofRanks[0][p] is null
        ? null
        : sizes.Select((size, rank) => ofRanks[rank][p]!.mul(Held((double)size / sizes.Sum()))).Aggregate((a, b) => a.add(b, One)))];

    private static LabelledImages Of(LabelledImages batch, Shard shard)
    {
        Tensor within = shard.Indices(batch.Labels.shape[0]);
        return new LabelledImages(batch.Images.index_select(0, within), batch.Labels.index_select(0, within));
    }

    private static LabelledImages[] Halves(LabelledImages shard)
        => [.. shard.Images.chunk(2).Zip(shard.Labels.chunk(2), (images, labels) => new LabelledImages(images, labels))];
}

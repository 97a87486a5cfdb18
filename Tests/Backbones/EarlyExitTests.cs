using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Tests.Allocation;

namespace Imta.MetaWeight.Tests.Backbones;

/// <summary>Early-exit execution answers as the simulation by full forward passes says.</summary>
public sealed class EarlyExitTests
{
    private const float Near = 1e-5f;
    private const double MeasuredPrice = 32;

    /// <summary>A network, images and thresholds that no image's score is near to.</summary>
    public sealed record Case(string Network, bool Folds, double? Price, int Samples, int Criterion, int Seed)
    {
        public IExitCriterion By => ExitCriteria.All[Criterion];

        /// <summary>Half-way between two neighbours of the sorted scores, or beyond all of them.</summary>
        public float[] Thresholds(Tensor scores, int exits)
        {
            var random = new System.Random(Seed);
            return [.. Enumerable.Range(0, exits).Select(k =>
            {
                float[] sorted = [-1, .. scores.select(1, k).contiguous().data<float>().ToArray().Order(), 2];
                float[] between =
                [
                    .. sorted.Skip(1).Zip(sorted, (upper, lower) => (upper, lower)).Where(pair => pair.upper - pair.lower > 4 * Near)
                        .Select(pair => (pair.upper + pair.lower) / 2),
                ];
                return between[random.Next(between.Length)];
            })];
        }
    }

    /// <summary>A runner that pays this for a row that it moves: nothing, and rows go after every exit; null: they never go.</summary>
    internal static EarlyExit Runner(MultiExitNetwork network, double? price, bool folds = true)
        => new(network, price is null ? Compaction.Never : Compaction.WhenBeneficial, folds) { MacsPerMovedRow = price ?? MeasuredPrice };

    public static TheoryData<string> Networks => [.. EarlyExitNetworks.Names];

    private static readonly Gen<Case> Cases =
        from network in Gen.Elements(EarlyExitNetworks.Names.ToArray())
        from folds in Gen.Elements(false, true)
        from price in Gen.Elements<double?>(MeasuredPrice, 0, null)
        from samples in Gen.Choose(1, 40)
        from criterion in Gen.Choose(0, ExitCriteria.All.Count - 1)
        from seed in Gen.Choose(0, int.MaxValue)
        select new Case(network, folds, price, samples, criterion, seed);

    [Fact]
    public void It_answers_every_sample_as_the_simulation_does_in_a_batch_and_alone() => Prop.ForAll(Arb.From(Cases), c =>
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        using var random = new Generator((ulong)c.Seed);
        using MultiExitNetwork network = EarlyExitNetworks.Build(c.Network, float32, random);
        Tensor images = randn([c.Samples, 3, 32, 32], generator: random);
        Tensor all = stack(network.Forward(images, NormStatistics.Running), 1); // [N, K, C]
        Tensor scores = c.By.Score(all);
        var policy = new ThresholdPolicy(c.By, c.Thresholds(scores, network.Exits));
        long[] exits = policy.ExitOf(scores).data<long>().ToArray();
        using EarlyExit runner = Runner(network, c.Price, c.Folds);

        var rule = new ExitPolicyRule(policy);
        EarlyExitResult batch = runner.Run(images, rule.Leaves);
        int[] some = [.. Enumerable.Range(0, c.Samples).Chunk(10).Select(chunk => chunk[c.Seed % chunk.Length])];
        EarlyExitResult[] alone = [.. some.Select(i => runner.Run(images.narrow(0, i, 1), rule.Leaves))];

        var joined = new EarlyExitResult(cat([.. alone.Select(one => one.Logits)]), cat([.. alone.Select(one => one.Exits)]));
        Tensor whole = all.gather(1, tensor(exits, int64).view(-1, 1, 1).expand(-1, 1, network.Classes)).squeeze(1).softmax(1);
        foreach ((EarlyExitResult answers, int[] of) in new[] { (batch, Enumerable.Range(0, c.Samples).ToArray()), (joined, some) })
        {
            answers.Exits.data<long>().ToArray().Should().Equal(of.Select(i => exits[i]));
            Tensor simulated = whole.index_select(0, tensor(of.Select(i => (long)i).ToArray()));
            Tensor executed = answers.Logits.softmax(1), answer = answers.Logits.argmax(1, keepdim: true);
            Largest(executed.max(1).values - simulated.max(1).values).Should().BeLessThan(Near, "confidences are the same");
            Largest(simulated.gather(1, answer).squeeze(1) - simulated.max(1).values).Should()
                .BeLessThan(Near, "the answer is the same, or another as likely");
        }
    }).Hold();

    [Theory]
    [MemberData(nameof(Networks))]
    public void Folded_batch_norm_gives_the_plain_forward_passs_logits(string name)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        using var random = new Generator(3);
        using MultiExitNetwork network = EarlyExitNetworks.Build(name, float64, random);
        using var folding = new BatchNormFolding();
        Tensor images = randn([5, 3, 32, 32], float64, generator: random);

        Tensor[] plain = network.Forward(images, NormStatistics.Running);
        for (int time = 0; time < 2; time++)
        {
            Tensor[] folded = network.Forward(images, new Pass(NormStatistics.Running) { Folding = folding });
            folded.Zip(plain, (one, other) => GoldenFile.RelativeError(GoldenFile.Values(one), GoldenFile.Values(other))).Should()
                .OnlyContain(error => error < 1e-13);
        }
    }

    [Fact]
    public void Batch_norm_does_not_fold_by_the_batchs_statistics_or_into_others_parameters()
    {
        using var folding = new BatchNormFolding();
        Action byBatch = () => _ = new Pass(NormStatistics.Batch) { Folding = folding };
        Action substituted = ()
            => _ = new Pass(NormStatistics.Running, new Dictionary<global::TorchSharp.Modules.Parameter, int>(), []) { Folding = folding };

        byBatch.Should().Throw<InvalidOperationException>().WithMessage("*only be folded*using the running statistics*");
        substituted.Should().Throw<InvalidOperationException>().WithMessage("*own parameters*");
    }

    [Theory]
    [InlineData(0.0, new long[] { 40, 32, 11, 3 })]
    [InlineData(MeasuredPrice, new long[] { 40, 32, 11, 3 })] // a network that counts nothing: whenever rows can go
    [InlineData(null, new long[] { 40, 40, 40, 40 })]
    public void Later_blocks_compute_only_rows_that_are_left_and_answers_keep_the_order(double? price, long[] rows)
    {
        using DisposeScope scope = NewDisposeScope();
        using var network = new CarryingNetwork(exits: 5);
        using EarlyExit runner = Runner(network, price);
        Tensor images = arange(Held(0), Held(40), One, float32).view(-1, 1, 1, 1).expand(-1, 3, 4, 4).contiguous(), before = images.clone();
        // 8, 21, 8, 3, and nobody at exit 5
        long[] expected = [.. Enumerable.Range(0, 40).Select(i => i % 5 == 0 ? 0L : i % 4 == 0 ? 2 : i % 7 == 0 ? 3 : 1)];

        EarlyExitResult answers = runner.Run(images, (k, logits, at) =>
        {
            at.shape.Should().Equal(logits.shape[0]);
            Tensor own = tensor(expected, int64).index_select(0, at);
            logits.select(1, 0).data<float>().ToArray().Should()
                .Equal(at.to_type(float32).data<float>().ToArray(), "a row's place is that of its image");
            return own.eq(Held(k));
        });

        answers.Exits.data<long>().ToArray().Should().Equal(expected);
        answers.Logits.select(1, 0).contiguous().data<float>().ToArray().Should().Equal(Enumerable.Range(0, 40).Select(i => (float)i));
        answers.Logits.select(1, 1).contiguous().data<float>().ToArray().Should().Equal(expected.Select(exit => (float)exit));
        network.Rows.Should().Equal(rows, "nobody needs block 5");
        before.eq(images).all().item<bool>().Should().BeTrue("the images are the caller's");
    }

    [Fact]
    public void Everybody_leaves_at_the_last_exit_whatever_the_rule_says()
    {
        using DisposeScope scope = NewDisposeScope();
        using var network = new CarryingNetwork(exits: 3);
        using var runner = new EarlyExit(network);

        EarlyExitResult answers = runner.Run(zeros([6, 3, 4, 4]), (_, logits, _) => zeros([logits.shape[0]], ScalarType.Bool));

        answers.Exits.data<long>().ToArray().Should().Equal(2, 2, 2, 2, 2, 2);
        network.Rows.Should().Equal(6, 6, 6);
    }

    /// <summary>A policy that looks back decides by each sample's own scores, whatever rows are dropped between.</summary>
    [Theory]
    [InlineData(0.0)]
    [InlineData(MeasuredPrice)]
    [InlineData(null)]
    public void A_policy_sees_the_scores_of_its_sample_at_all_earlier_exits(double? price)
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(4);
        using MultiExitNetwork network = EarlyExitNetworks.Build(EarlyExitNetworks.Names[0], float32, random);
        using EarlyExit runner = Runner(network, price);
        Tensor images = randn([40, 3, 32, 32], generator: random);
        Tensor all = stack(network.Forward(images, NormStatistics.Running), 1); // [N, K, C]
        var policy = new PatiencePolicy(2);
        var rule = new ExitPolicyRule(policy);

        for (int batch = 0; batch < 2; batch++)
        {
            EarlyExitResult answers = runner.Run(images, rule.Leaves);

            answers.Exits.data<long>().ToArray().Should().Equal(policy.ExitOf(policy.Criterion.Score(all)).data<long>().ToArray());
            answers.Exits.data<long>().ToArray().Distinct().Should().HaveCountGreaterThan(1);
        }
    }

    [Fact]
    public void Logits_that_are_NaN_are_refused_at_their_exit_however_few()
    {
        using DisposeScope scope = NewDisposeScope();
        using var network = new CarryingNetwork(exits: 3);
        using var runner = new EarlyExit(network);
        Tensor images = zeros([6, 3, 4, 4]);
        images[4] = float.NaN;
        images[5] = float.PositiveInfinity;

        Action run = () => runner.Run(images, (_, logits, _) => zeros([logits.shape[0]], ScalarType.Bool));

        run.Should().Throw<NonFiniteLogitsException>().WithMessage("*logits are NaN or infinite for 2 of 6 images at exit 1");
    }

    [Fact]
    public void Sizes_of_a_batch_are_few_and_hold_those_who_are_left()
    {
        int[] sizes = [.. Enumerable.Range(1, 1024).Select(EarlyExit.RoundUpRows)];

        sizes.Should().BeInAscendingOrder();
        sizes.Select((size, i) => (Size: size, Left: i + 1)).Should()
            .OnlyContain(pair => pair.Size >= pair.Left && pair.Size <= Math.Ceiling(1.125 * pair.Left));
        sizes.Select(EarlyExit.RoundUpRows).Should().Equal(sizes);
        sizes.Where(size => size > 512).Distinct().Should().HaveCount(8);
    }

    private static float Largest(Tensor difference) => difference.abs().max().item<float>();

    /// <summary>Blocks hand the images on, twice, and count their rows; logits are the image's first number, and the exit.</summary>
    private sealed class CarryingNetwork(int exits) : MultiExitNetwork("Carrying")
    {
        public List<long> Rows { get; } = [];

        public override int Exits => exits;

        public override int Classes => 2;

        protected override Tensor[] Block(int k, Tensor[] features, Pass pass)
        {
            if (pass.Cost is null)
            {
                Rows.Add(features[0].shape[0]);
            }

            return [features[0], features[0]];
        }

        protected override Tensor Exit(int k, Tensor[] features, Tensor? earlier, Pass pass)
        {
            Tensor number = features[^1].flatten(1).select(1, 0);
            return stack([number, zeros_like(number).add(Held(k), One)], 1);
        }
    }
}

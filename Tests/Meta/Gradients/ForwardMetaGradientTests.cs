using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Backbones.Msd;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Sweeps;
using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;
using Imta.MetaWeight.Tests.Backbones;
using Xunit.Abstractions;

namespace Imta.MetaWeight.Tests.Meta.Gradients;

/// <summary>The exact meta gradient by one directional derivative, against the unrolled one.</summary>
public sealed class ForwardMetaGradientTests(ITestOutputHelper output)
{
    private const int TrainSamples = 5;
    private const int MetaSamples = 7;
    private const double Tolerance = 1e-10;

    private static readonly LearningRates OfTest = new(0.1, 0.01);

    [Theory]
    [MemberData(nameof(MetaGradientTests.WeightingSettings), MemberType = typeof(MetaGradientTests))]
    public void It_is_the_unrolled_one(MetaGradientTests.WeightingSetting weighting)
    {
        using DisposeScope scope = NewDisposeScope();
        Dictionary<string, double[]> unrolled = Observe(weighting, MetaGradientMethod.Unrolled);
        Dictionary<string, double[]> forward = Observe(weighting, MetaGradientMethod.Forward);

        unrolled["by weights"].Should().Contain(slope => slope != 0);
        forward.Keys.Should().Equal(unrolled.Keys);
        forward.Select(entry => (Quantity: entry.Key, Error: GoldenFile.RelativeError(entry.Value, unrolled[entry.Key])))
            .Where(quantity => !(quantity.Error <= Tolerance))
            .Should().BeEmpty();
    }

    [Fact]
    public void What_reaches_no_exit_has_no_gradient_and_stays()
    {
        using DisposeScope scope = NewDisposeScope();
        using TinyBilevel tiny = Tiny(MetaGradientMethod.Forward, new TrainOptions { WeightDecay = 0.1 });
        bool[] unused = [.. tiny.Network.ParameterNames.Select(name => name.StartsWith(TinyLinearisable.Unused, StringComparison.Ordinal))];
        double[][] before = [.. tiny.Network.Parameters.Select(Values)];

        IReadOnlyList<Tensor?> gradient = tiny.Method.Forward(tiny.Batch(TrainSamples)).Gradient(tiny.Weights(TrainSamples));
        tiny.Loop.Step(tiny.Batch(8), OfTest, learns: true);

        unused.Count(isUnused => isUnused).Should().Be(4, "a parameter, and a layer's kernel, scale and shift");
        gradient.Select(part => part is null).Should().Equal(unused);
        tiny.Network.Parameters.Select((parameter, p) => Values(parameter).SequenceEqual(before[p])).Should().Equal(unused);
        tiny.Optimiser.Buffers.Select(buffer => buffer is null).Should().Equal(unused);
    }

    [Theory]
    [InlineData(MetaMemory.Normal)]
    [InlineData(MetaMemory.Low)]
    public void It_changes_neither_network_nor_optimiser_and_the_pass_serves_the_real_update_after_it(MetaMemory memory)
    {
        using DisposeScope scope = NewDisposeScope();
        using TinyBilevel tiny = Tiny(MetaGradientMethod.Forward, memory: memory);
        tiny.PlainLoop.Step(tiny.Batch(TrainSamples), OfTest, learns: false); // creates the momentum buffers
        IForward forward = tiny.Method.Forward(tiny.Batch(TrainSamples));
        Tensor weights = tiny.Weights(TrainSamples);
        double[] gradient = Values(forward.Gradient(weights)), state = tiny.BackboneState();

        tiny.Method.WeightGradient(forward, weights, tiny.Batch(MetaSamples), 0.5);

        Values(forward.Gradient(weights)).Should().Equal(gradient);
        tiny.BackboneState().Should().Equal(state);
        tiny.Network.Parameters.Should().OnlyContain(parameter => ReferenceEquals(parameter.grad, null));
    }

    [Fact]
    public void Low_memory_trains_to_the_very_same_numbers()
    {
        using DisposeScope scope = NewDisposeScope();
        using TinyBilevel normal = Tiny(MetaGradientMethod.Forward), low = Tiny(MetaGradientMethod.Forward, memory: MetaMemory.Low);

        for (int step = 0; step < 5; step++)
        {
            Steps(low).Should().Equal(Steps(normal));
        }

        low.BackboneState().Should().Equal(normal.BackboneState());
        low.WeightingState().Should().Equal(normal.WeightingState());

        double[] Steps(TinyBilevel tiny) => Values(tiny.Loop.Step(tiny.Batch(8), OfTest, learns: true)
            .SelectMany(part => new[] { part.Losses, part.CrossEntropies, part.Weights, part.Objective! }));
    }

    [Fact]
    public void Low_memory_trains_an_msdnet_to_the_very_same_numbers()
    {
        using DisposeScope scope = NewDisposeScope();
        using TinyBilevel normal = Tiny(MetaGradientMethod.Forward, build: Msd), low = Tiny(
            MetaGradientMethod.Forward, memory: MetaMemory.Low, build: Msd);
        using var random = new Generator(3);

        for (int step = 0; step < 3; step++)
        {
            var batch = new LabelledImages(
                randn([8, 3, 32, 32], float64, generator: random), randint(SmallMsdNet.Classes, [8], int64, generator: random));
            normal.Loop.Step(batch, OfTest, learns: true);
            low.Loop.Step(batch, OfTest, learns: true);
        }

        low.BackboneState().Should().Equal(normal.BackboneState());
        low.WeightingState().Should().Equal(normal.WeightingState());
    }

    [Theory]
    [InlineData(MetaGradientMethod.Forward, MetaMemory.Normal)]
    [InlineData(MetaGradientMethod.Forward, MetaMemory.Low)]
    [InlineData(MetaGradientMethod.Unrolled, MetaMemory.Normal)]
    [InlineData(MetaGradientMethod.FiniteDifference, MetaMemory.Normal)]
    public void Running_statistics_move_once_a_part(MetaGradientMethod method, MetaMemory memory)
    {
        using DisposeScope scope = NewDisposeScope();
        using TinyBilevel tiny = Tiny(method, memory: memory);

        tiny.Loop.Step(tiny.Batch(8), OfTest, learns: true);

        tiny.Network.named_buffers().Where(entry => entry.name.EndsWith("num_batches_tracked", StringComparison.Ordinal))
            .Select(entry => entry.buffer.item<long>()).Should().Equal(2, 2, 2);
    }

    /// <summary>
    /// Rounding: the error of float32 against the unrolled method in float64, each from the same numbers, by the median over seeds.
    /// </summary>
    [Fact]
    public void In_float32_it_is_at_most_twice_as_far_from_float64_as_the_unrolled_one()
    {
        const int Seeds = 9;
        (double Forward, double Unrolled)[] errors = [.. Enumerable.Range(1, Seeds).Select(seed => ErrorsInFloat32((ulong)seed))];
        (double forward, double unrolled) = (Median(errors.Select(error => error.Forward)), Median(errors.Select(error => error.Unrolled)));

        output.WriteLine($"medians over {Seeds} seeds: forward {forward:g3}, unrolled {unrolled:g3}");
        unrolled.Should().BeInRange(1e-8, 1e-1);
        forward.Should().BeLessThanOrEqualTo(2 * unrolled);
        errors.Should().OnlyContain(error => error.Forward != error.Unrolled, "rounding parts them at once");
    }

    [Fact]
    public void A_network_with_only_a_forward_is_refused_here_and_gets_the_unrolled_method_from_the_options()
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(1);
        using var network = new TinyNetwork(random);
        using var optimiser = new Sgd(network.named_parameters(), new TrainOptions());
        var options = new MetaOptions { Gradient = MetaGradientMethod.Forward };

        FluentActions.Invoking(
            () => new ForwardMetaGradient(network, new Lookahead(optimiser), TrainingLoss.Plain, new MetaObjective(shares: null)))
            .Should().Throw<ArgumentException>().WithMessage("Tiny does not support linearised passes; use the unrolled method.*");
        MetaGradients.Create(options, network, optimiser, TrainingLoss.Plain).Should().BeOfType<UnrolledMetaGradient>();
    }

    [Theory]
    [InlineData(MetaGradientMethod.Forward, typeof(ForwardMetaGradient))]
    [InlineData(MetaGradientMethod.Unrolled, typeof(UnrolledMetaGradient))]
    [InlineData(MetaGradientMethod.FiniteDifference, typeof(FiniteDifferenceMetaGradient))]
    public void An_msdnet_gets_the_method_that_the_options_name(MetaGradientMethod method, Type type)
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(1);
        using MsdNet network = Msd(random);
        using var optimiser = new Sgd(network.named_parameters(), new TrainOptions());

        MetaGradients.Create(new MetaOptions { Gradient = method }, network, optimiser, TrainingLoss.Plain).Should().BeOfType(type);
        new MetaOptions().Gradient.Should().Be(MetaGradientMethod.Forward);
    }

    /// <summary>Everything that a method says and does, from the same seed.</summary>
    private static Dictionary<string, double[]> Observe(MetaGradientTests.WeightingSetting weighting, MetaGradientMethod method)
    {
        MetaGradientTests.Setting setting = weighting.Setting;
        using var loss = new TrainingLoss(new LossOptions { LabelSmoothing = weighting.LabelSmoothing }, [1, 1, 1], float64, CPU);
        MetaOptions options = setting.Meta() with
        {
            Gradient = method,
            Centring = weighting.Centring,
            Features = weighting.Features,
            Wpn = new WpnOptions { Hidden = 5 },
        };
        using var tiny = new TinyBilevel(setting.Train(), options, loss, random => new TinyLinearisable(random));
        if (setting.Buffers)
        {
            tiny.PlainLoop.Step(tiny.Batch(TrainSamples), OfTest, learns: false);
        }

        IForward forward = tiny.Method.Forward(tiny.Batch(TrainSamples));
        Tensor weights = tiny.Weights(TrainSamples);
        MetaGradient gradient = tiny.Method.WeightGradient(forward, weights, tiny.Batch(MetaSamples), setting.Rate);
        double[] ofLoss = Values(forward.Gradient(weights.div(Held(TrainSamples))));
        IReadOnlyList<HalfBatchReport> parts = tiny.Loop.Step(
            tiny.Batch(TrainSamples + MetaSamples), new LearningRates(setting.Rate, 0.01), learns: true);
        return new()
        {
            ["logits"] = Values(forward.Logits),
            ["cross-entropies"] = Values(forward.CrossEntropies),
            ["losses"] = Values(forward.Losses),
            ["gradient"] = ofLoss,
            ["by weights"] = Values(gradient.GradWeights),
            ["objective"] = Values(gradient.Objective),
            ["losses of the step"] = Values(parts.Select(part => part.Losses)),
            ["weights of the step"] = Values(parts.Select(part => part.Weights)),
            ["objectives of the step"] = Values(parts.Select(part => part.Objective)),
            ["parameters"] = Values(tiny.Network.Parameters),
            ["running statistics"] = Values(tiny.Network.buffers()),
            ["momentum"] = Values(tiny.Optimiser.Buffers),
            ["weighting"] = Values(tiny.Weighting.Network.Parameters),
            ["Adam's means"] = Values(tiny.Weighting.Optimiser.Means),
            ["Adam's squares"] = Values(tiny.Weighting.Optimiser.Squares),
        };
    }

    private static TinyBilevel Tiny(
        MetaGradientMethod method, TrainOptions? train = null, MetaMemory memory = MetaMemory.Normal, Func<Generator,
        MultiExitNetwork>? build = null)
        => new(
            train, new MetaOptions { Gradient = method, Memory = memory, Wpn = new WpnOptions { Hidden = 5 } },
            build: build ?? (random => new TinyLinearisable(random)));

    private static MsdNet Msd(Generator random) => SmallMsdNet.Build(float64, random);

    private static (double Forward, double Unrolled) ErrorsInFloat32(ulong seed)
    {
        const int Samples = 8;
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(seed);
        using MsdNet exact = SmallMsdNet.Build(float64, random), rounded = SmallMsdNet.Build(float32, random);
        Tensor images = randn([2 * Samples, 3, 32, 32], generator: random), labels = randint(
            SmallMsdNet.Classes, [2 * Samples], int64, generator: random);
        Tensor weights = rand([Samples, exact.Exits], generator: random).add(Held(0.5), One);
        rounded.load_state_dict(exact.state_dict()); // rounds
        exact.load_state_dict(rounded.state_dict());

        double[] expected = ByWeights(exact, MetaGradientMethod.Unrolled, float64);
        return (Error(MetaGradientMethod.Forward), Error(MetaGradientMethod.Unrolled));

        double Error(MetaGradientMethod method) => Distance(ByWeights(rounded, method, float32), expected);

        double[] ByWeights(MsdNet network, MetaGradientMethod method, ScalarType type)
        {
            using var optimiser = new Sgd(network.named_parameters(), new TrainOptions());
            IMetaGradient gradient = MetaGradients.Create(new MetaOptions { Gradient = method }, network, optimiser, TrainingLoss.Plain);
            Tensor[] images2 = images.to_type(type).chunk(2), labels2 = labels.chunk(2);
            IForward forward = gradient.Forward(new LabelledImages(images2[0], labels2[0]));
            return Values(
                gradient.WeightGradient(forward, weights.to_type(type), new LabelledImages(images2[1], labels2[1]), rate: 0.1).GradWeights);
        }
    }

    /// <summary>‖a − b‖ / ‖b‖.</summary>
    private static double Distance(double[] a, double[] b)
        => Math.Sqrt(a.Zip(b, (x, y) => (x - y) * (x - y)).Sum() / b.Sum(y => y * y));

    private static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }

    private static double[] Values(Tensor tensor) => GoldenFile.Values(tensor);

    private static double[] Values(IEnumerable<Tensor?> tensors) => [.. tensors.OfType<Tensor>().SelectMany(Values)];
}

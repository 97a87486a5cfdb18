using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Linearised;
using Imta.MetaWeight.Backbones.Msd;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Verification;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Tests.Backbones.Linearised;

/// <summary>A whole forward pass as a linear map.</summary>
[Collection(NativeMemoryCollection.Name)]
public sealed class LinearisedPassTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly Generator _random = new(31);

    /// <summary>MSDNets with the size of their images.</summary>
    public static TheoryData<MsdNetOptions, ImageKind, long> Networks => new()
    {
        { new MsdNetOptions { Blocks = 2, Channels = 4, Growth = 2 }, ImageKind.Cifar, 32 },
        // a finer scale reaches no exit
        { new MsdNetOptions { Blocks = 2, Channels = 4, Growth = 2, StepMode = StepMode.Even }, ImageKind.Cifar, 32 },
        { new MsdNetOptions { Blocks = 3, Base = 2, Channels = 4, Growth = 2, Prune = Prune.Min }, ImageKind.Cifar, 32 },
        { new MsdNetOptions { Blocks = 2, Channels = 4, Growth = 2, Bottleneck = false }, ImageKind.Cifar, 32 },
        { ForImageNet, ImageKind.ImageNet, 130 },
        { ForImageNet with { Bottleneck = false }, ImageKind.ImageNet, 130 },
    };

    private static MsdNetOptions ForImageNet => new()
    {
        Blocks = 2,
        Base = 2,
        Channels = 4,
        Growth = 2,
        GrowthFactors = [1, 2, 2, 2],
        BottleneckFactors = [1, 2, 2, 2],
    };

    [Theory]
    [MemberData(nameof(Networks))]
    public void Of_an_msdnet_it_is_adjoint_and_the_slope_of_its_logits(MsdNetOptions options, ImageKind images, long side)
    {
        using MsdNet network = Build(options, images);
        var probe = new Probe(network, randn([3, 3, side, side], float64, generator: _random), _random);

        probe.ErrorOfLogits().Should().BeLessThan(1e-12);
        probe.Asymmetry().Should().BeLessThan(1e-13);
        probe.ErrorOfTangent().Should().BeLessThan(1e-12);
        probe.ErrorOfTangentByDifferences().Should().BeLessThan(1e-5);
        probe.ErrorOfGradient().Should().BeLessThan(1e-11);
    }

    [Theory]
    [MemberData(nameof(Networks))]
    public void A_direction_may_leave_parameters_out(MsdNetOptions options, ImageKind images, long side)
    {
        using MsdNet network = Build(options, images);
        var probe = new Probe(network, randn([3, 3, side, side], float64, generator: _random), _random);
        for (int p = 0; p < probe.U.Length; p++)
        {
            probe.U[p] = p % 3 == 0 ? null : probe.U[p];
        }

        double[] left = Probe.Values(probe.Tangent());
        Tensor?[] zeros = [.. probe.U.Zip(network.Parameters, (u, parameter) => u ?? zeros_like(parameter))];

        GoldenFile.RelativeError(left, Probe.Values(probe.Pass.Tangent(zeros))).Should().BeLessThan(1e-12);
        probe.Asymmetry().Should().BeLessThan(1e-13);
        Probe.Values(probe.Pass.Tangent(new Tensor?[probe.U.Length])).Should().OnlyContain(change => change == 0);
    }

    [Fact]
    public void A_layer_that_reaches_no_exit_has_no_gradient()
    {
        using MsdNet network = Build(new MsdNetOptions { Blocks = 2, Channels = 4, Growth = 2, StepMode = StepMode.Even }, ImageKind.Cifar);
        var probe = new Probe(network, randn([3, 3, 32, 32], float64, generator: _random), _random);

        string[] without =
        [
            .. probe.Gradient().Zip(network.ParameterNames).Where(entry => entry.First is null).Select(entry => entry.Second),
        ];
        string[] parts = [.. without.Select(name => string.Join('.', name.Split('.')[..5])).Distinct()];
        parts.Should()
            .Equal(
                ["blocks.0.1.layers.0", "blocks.1.0.layers.0", "blocks.1.1.m.0"], "the coarsest scale alone is what the last exit reads");
    }

    [Fact]
    public void With_other_parameters_it_is_the_map_at_these()
    {
        using MsdNet network = SmallMsdNet.Build(float64, _random), other = SmallMsdNet.Build(float64, _random);
        Tensor images = randn([3, 3, 32, 32], float64, generator: _random);
        var probe = new Probe(other, images, _random);

        LinearisedPass substituted = network.Linearise(images, [.. other.Parameters], NormStatistics.Batch);

        Probe.Values(substituted.Logits).Should().Equal(Probe.Values(probe.Pass.Logits));
        Probe.Values(substituted.Tangent(probe.U)).Should().Equal(Probe.Values(probe.Tangent()));
        Probe.Values(substituted.Gradient([.. probe.G.Select(g => g.clone())])).Should().Equal(Probe.Values(probe.Gradient()));
    }

    [Theory]
    [InlineData(NormStatistics.Batch)]
    [InlineData(NormStatistics.BatchAndUpdate)]
    public void Running_statistics_move_as_in_an_ordinary_forward(NormStatistics statistics)
    {
        using MsdNet network = SmallMsdNet.Build(float64, _random), same = SmallMsdNet.Build(float64, _random);
        same.load_state_dict(network.state_dict());
        Tensor images = randn([3, 3, 32, 32], float64, generator: _random);
        double[] before = Probe.Values(network.buffers());

        network.Linearise(images, parameters: null, statistics);
        same.Forward(images, statistics);

        GoldenFile.RelativeError(Probe.Values(network.buffers()), Probe.Values(same.buffers())).Should().BeLessThan(1e-13);
        Probe.Values(network.buffers()).SequenceEqual(before).Should().Be(statistics == NormStatistics.Batch);
    }

    [Fact]
    public void Running_statistics_and_too_few_parameters_are_refused()
    {
        using MsdNet network = SmallMsdNet.Build(float64, _random);
        Tensor images = randn([3, 3, 32, 32], float64, generator: _random);

        network.Invoking(net => net.Linearise(images, null, NormStatistics.Running)).Should().Throw<ArgumentException>()
            .WithMessage("*must normalise with batch statistics*");
        network.Invoking(net => net.Linearise(images, [], NormStatistics.Batch)).Should().Throw<ArgumentException>()
            .WithMessage("MSDNet has * parameters, not 0.*");
    }

    [Theory]
    [InlineData(Forgotten.Features, "*shape [2, 3, 4, 4]*every operator in between must add its map*")]
    [InlineData(Forgotten.Logits, "*shape [2, 5]*every operator in between must add its map*")]
    [InlineData(Forgotten.Nothing, null)]
    internal void A_layer_that_forgets_its_map_is_refused(Forgotten forgotten, string? message)
    {
        using var network = new ForgetfulNetwork(forgotten, _random);
        Action linearise = () => network.Linearise(randn([2, 3, 4, 4], float64, generator: _random), null, NormStatistics.Batch);

        if (message is null)
        {
            linearise.Should().NotThrow();
        }
        else
        {
            linearise.Should().Throw<InvalidOperationException>().WithMessage(message);
        }
    }

    [Fact]
    public void A_layer_that_returns_its_input_is_refused()
    {
        using var network = new ForgetfulNetwork(Forgotten.ToMakeATensor, _random);

        network.Invoking(net => net.Linearise(randn([2, 3, 4, 4], float64, generator: _random), null, NormStatistics.Batch))
            .Should().Throw<InvalidOperationException>().WithMessage("*shape [2, 3, 4, 4]*already on the tape*");
    }

    [Fact]
    public void Nothing_of_a_pass_outlives_its_scope_and_a_release_frees_all_but_the_logits()
    {
        using MsdNet network = SmallMsdNet.Build(float64, _random);
        Tensor images = randn([3, 3, 32, 32], float64, generator: _random);
        Tensor?[] direction = [.. network.Parameters.Select(parameter => (Tensor?)ones_like(parameter))];
        NativeMemoryCollection.Settle();
        long before = Held();
        using (NewDisposeScope())
        {
            LinearisedPass pass = network.Linearise(images, null, NormStatistics.Batch);
            long recorded = Held();
            recorded.Should().BeGreaterThan(before + network.Exits);
            using (NewDisposeScope())
            {
                pass.Tangent(direction).Should().HaveCount(network.Exits);
                pass.Gradient([.. pass.Logits.Select(z => ones_like(z))]).Should().HaveCount(direction.Length);
            }

            Held().Should().Be(recorded, "applying and transposing leave nothing behind");
        }

        Held().Should().Be(before);
    }

    [Fact]
    public void The_last_gradient_frees_the_pass()
    {
        using MsdNet network = SmallMsdNet.Build(float64, _random);
        Tensor images = randn([3, 3, 32, 32], float64, generator: _random);
        NativeMemoryCollection.Settle();
        long before = Held();
        using (NewDisposeScope())
        {
            LinearisedPass pass = network.Linearise(images, null, NormStatistics.Batch);
            using (NewDisposeScope())
            {
                pass.Gradient([.. pass.Logits.Select(z => ones_like(z))], last: true).Should().NotContainNulls();
            }

            Held().Should().Be(before + network.Exits);
        }
    }

    public void Dispose()
    {
        _random.Dispose();
        _scope.Dispose();
    }

    private static long Held() => Tensor.TotalCount;

    private MsdNet Build(MsdNetOptions options, ImageKind images)
        => new(options, images, SmallMsdNet.Classes, new LayerFactory(Initialisation.Published, _random, float64, CPU));

    /// <summary>What a <see cref="ForgetfulNetwork"/> does not do.</summary>
    internal enum Forgotten
    {
        Nothing,
        Features,
        Logits,
        ToMakeATensor,
    }

    /// <summary>tanh(images), and a matrix product as logits.</summary>
    private sealed class ForgetfulNetwork : MultiExitNetwork
    {
        private readonly Forgotten _forgotten;
        private readonly Parameter _weight;

        public ForgetfulNetwork(Forgotten forgotten, Generator random)
            : base("Forgetful")
        {
            _forgotten = forgotten;
            register_parameter("weight", _weight = new Parameter(randn([3 * 4 * 4, 5], float64, generator: random)));
        }

        public override int Exits => 1;

        public override int Classes => 5;

        protected override Tensor[] Block(int k, Tensor[] features, Pass pass)
        {
            Tensor y = _forgotten == Forgotten.ToMakeATensor ? features[0] : features[0].tanh();
            if (_forgotten != Forgotten.Features)
            {
                pass.Tape?.Add(new NoMap(), y, features[0]);
            }

            return [y];
        }

        protected override Tensor Exit(int k, Tensor[] features, Tensor? earlier, Pass pass)
        {
            Tensor logits = features[0].flatten(1).matmul(pass[_weight]);
            if (_forgotten != Forgotten.Logits)
            {
                pass.Tape?.Add(new NoMap(), logits, features[0]);
            }

            return logits;
        }
    }

    private sealed class NoMap : LinearMap
    {
        public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? destination) => null;

        public override IReadOnlyList<Tensor?> Cotangent(
            Tensor output, IReadOnlyList<bool> needed, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient) => [null];
    }
}

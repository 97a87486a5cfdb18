using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Msd;
using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Tests.Experiments.Verification;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Tests.Backbones;

/// <summary>MSDNet apart from its numbers, which <c>GoldenVerificationTests</c> holds against the published ones.</summary>
public sealed class MsdNetTests
{
    private static readonly MsdNetOptions ImageNet = new()
    {
        Blocks = 2,
        Base = 4,
        Step = 4,
        StepMode = StepMode.Even,
        Channels = 8,
        Growth = 4,
        GrowthFactors = [1, 2, 4, 4],
        BottleneckFactors = [1, 2, 4, 4],
    };

    /// <summary>Small networks, each with bottlenecks and without.</summary>
    public static TheoryData<MsdNetOptions> Structures =>
    [
        .. new[] { true, false }.SelectMany(bottleneck => new MsdNetOptions[]
        {
            new() { Bottleneck = bottleneck, Blocks = 3, Channels = 4, Growth = 2 },
            new()
            {
                Bottleneck = bottleneck,
                Blocks = 3,
                Base = 3,
                Step = 2,
                StepMode = StepMode.Even,
                Channels = 6,
                Growth = 4,
                Prune = Prune.Min,
            },
            new()
            {
                Bottleneck = bottleneck,
                Blocks = 2,
                Base = 3,
                Channels = 5,
                Growth = 4,
                GrowthFactors = [1, 1, 2],
                BottleneckFactors = [2, 1, 3],
                Reduction = 0,
            },
        }),
    ];

    [Theory]
    [MemberData(nameof(Structures))]
    public void It_is_the_published_structure_with_bottlenecks_and_without(MsdNetOptions options)
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(12);
        var published = new PlainMsdNet(options, classes: 7, float64, random);
        Tensor images = randn([6, 3, 32, 32], float64, generator: random);
        Tensor[] evaluated = published.Forward(images, training: false);
        using var network = new MsdNet(options, ImageKind.Cifar, 7, new LayerFactory(Initialisation.He, random, float64, CPU));
        network.LoadState(published.State); // of the same names, shapes and types, or refused
        using var folding = new BatchNormFolding();

        Close(network.Forward(images, NormStatistics.Running), evaluated);
        using (no_grad())
        {
            Close(network.Forward(images, new Pass(NormStatistics.Running) { Folding = folding }), evaluated);
        }

        network.Cost(32).Exits.Select(exit => exit.Macs).Should().Equal(published.Macs);
        Tensor[] cotangents = [.. evaluated.Select(z => randn(z.shape, float64, generator: random))];
        Tensor?[] expected = Gradients(published.Forward(images, training: true), cotangents,
            network.ParameterNames.Select(name => published.State[name]));
        Close(network.Linearise(images, null, NormStatistics.Batch).Gradient([.. cotangents.Select(g => g.clone())]), expected);
        Close(Gradients(network.Forward(images, NormStatistics.BatchAndUpdate), cotangents, network.Parameters), expected);
        Close([.. network.named_buffers().Select(entry => entry.buffer)],
            [.. network.named_buffers().Select(entry => published.State[entry.name])]);
    }

    /// <summary>A network with the other choice does not take them.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_state_with_bottlenecks_is_not_one_without(bool bottleneck)
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(1);
        MsdNet Build(bool with) => new(
            new MsdNetOptions { Bottleneck = with, Blocks = 2, Channels = 4, Growth = 2 }, ImageKind.Cifar, 10,
            new LayerFactory(Initialisation.He, random, float32, CPU));
        using MsdNet network = Build(bottleneck), other = Build(!bottleneck);

        network.Invoking(one => one.LoadState(other.state_dict())).Should().Throw<InvalidDataException>().WithMessage("*net.0.weight*");
    }

    [Fact]
    public void A_state_of_another_network_is_refused()
    {
        using DisposeScope scope = NewDisposeScope();
        using GoldenFile golden = GoldenFiles.Open("msdnet_cifar_b.pt");
        using MsdNet network = GoldenNetworks.Msd(golden, CPU);
        GoldenNetworks.Load(network, golden);
        Dictionary<string, Tensor> state = network.state_dict();
        Parameter first = network.Parameters[0];
        state.Remove(network.ParameterNames[0]);
        state.Add("blocks.9.weight", first);

        network.Invoking(part => part.LoadState(state)).Should().Throw<InvalidDataException>()
            .WithMessage($"*{network.ParameterNames[0]}*blocks.9.weight*");
    }

    [Fact]
    public void The_form_for_ImageNet_takes_224_pixels_to_1000_classes_and_learns()
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(1);
        using var network = new MsdNet(ImageNet, ImageKind.ImageNet, 1000, new LayerFactory(Initialisation.He, random, float32, CPU));

        Tensor[] logits = network.Forward(randn([2, 3, 224, 224], generator: random), NormStatistics.BatchAndUpdate);
        stack(logits).pow(Held(2)).sum().backward();

        logits.Should().HaveCount(2).And.OnlyContain(z => z.shape.SequenceEqual(new long[] { 2, 1000 }));
        network.Parameters[1].grad!.abs().sum().item<float>().Should().BePositive("the first convolution's bias takes part");
    }

    [Theory]
    [InlineData(32, false, 3)]
    [InlineData(224, true, 4)]
    public void A_wrong_number_of_scales_is_refused(int side, bool hasStem, int scales)
    {
        var images = new ImageKind(side, hasStem);
        using var random = new Generator(1);
        int[] factors = [.. Enumerable.Repeat(1, 7 - scales)]; // the other form's
        FluentActions.Invoking(
            ()
                => new MsdNet(
                    ImageNet with { GrowthFactors = factors, BottleneckFactors = factors }, images, 10,
                    new LayerFactory(Initialisation.He, random, float32, CPU)))
            .Should().Throw<ArgumentException>().WithMessage($"*growthFactors lists {7 - scales}*has {scales}*");
    }

    /// <summary>Each scale halves the side; exits read 5 to 8 pixels a side, which they reduce to one.</summary>
    [Theory]
    [InlineData(8, 1)]
    [InlineData(9, 2)]
    [InlineData(32, 3)]
    [InlineData(33, 4)]
    [InlineData(48, 4)]
    [InlineData(64, 4)]
    [InlineData(96, 5)]
    public void Images_of_any_side_have_as_many_scales_as_their_exits_need(int side, int scales)
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(1);
        var images = new ImageKind(side, HasStem: false);
        int[] factors = [.. Enumerable.Repeat(1, scales)];
        MsdNetOptions options = new()
        {
            Blocks = 3,
            Step = 2,
            Channels = 4,
            Growth = 4,
            GrowthFactors = factors,
            BottleneckFactors = factors,
        };
        using var network = new MsdNet(options, images, 7, new LayerFactory(Initialisation.He, random, float32, CPU));

        Tensor[] logits = network.Forward(randn([2, 3, side, side], generator: random), NormStatistics.BatchAndUpdate);

        images.Scales.Should().Be(scales);
        logits.Should().HaveCount(3).And.OnlyContain(z => z.shape.SequenceEqual(new long[] { 2, 7 }));
    }

    private static Tensor?[] Gradients(Tensor[] logits, Tensor[] cotangents, IEnumerable<Tensor> parameters)
        => [.. Autograd.Gradients("the logits", logits, cotangents, [.. parameters])];

    private static void Close(IReadOnlyList<Tensor?> actual, IReadOnlyList<Tensor?> expected)
    {
        actual.Should().HaveCount(expected.Count);
        foreach ((Tensor? one, Tensor? other) in actual.Zip(expected))
        {
            (one is null).Should().Be(other is null);
            if (one is not null)
            {
                GoldenFile.RelativeError(GoldenFile.Values(one), GoldenFile.Values(other!)).Should().BeLessThan(1e-10);
            }
        }
    }
}

using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Ra;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Tests.Backbones.Linearised;
using Imta.MetaWeight.Tests.Experiments.Verification;

namespace Imta.MetaWeight.Tests.Backbones;

/// <summary>RANet; its numbers are held against the published ones by <c>GoldenVerificationTests</c>.</summary>
public sealed class RaNetTests
{
    public static TheoryData<RaNetOptions> Shapes => new()
    {
        SmallRaNet.Options,
        SmallRaNet.Options with
        {
            Blocks = 2,
            BlockStep = 1,
            StepMode = StepMode.LinGrow,
            GrowthFactors = [2, 1, 1, 1],
            BottleneckFactors = [2, 1, 1, 1],
            ScaleList = [1, 2, 3, 3],
        },
        SmallRaNet.Options with
        {
            Blocks = 1,
            BlockStep = 2,
            Step = 2,
            GrowthFactors = [1, 1, 1, 1],
            BottleneckFactors = [1, 1, 1, 1],
            ScaleList = [1, 1, 2, 3],
            Compress = 0.5,
            Reduction = 1,
        },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Its_linearised_pass_is_adjoint_and_the_slope_of_its_logits(RaNetOptions options)
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(9);
        using RaNet network = SmallRaNet.Build(float64, random, options: options);
        var probe = new Probe(network, randn([3, 3, 32, 32], float64, generator: random), random);

        network.Exits.Should().Be(options.Exits());
        probe.ErrorOfLogits().Should().BeLessThan(1e-12);
        probe.Asymmetry().Should().BeLessThan(1e-13);
        probe.ErrorOfTangent().Should().BeLessThan(1e-11);
        probe.ErrorOfTangentByDifferences().Should().BeLessThan(1e-4);
        probe.ErrorOfGradient().Should().BeLessThan(1e-10);
    }

    [Fact]
    public void The_form_for_ImageNet_takes_224_pixels_to_1000_classes_and_learns()
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(9);
        RaNetOptions options = SmallRaNet.Options with
        {
            GrowthFactors = [2, 1, 1, 1],
            BottleneckFactors = [1, 1, 1, 1],
            ScaleList = [1, 2, 3, 4],
        };
        using var network = new RaNet(
            options, ImageKind.ImageNet, classes: 1000, new LayerFactory(Initialisation.Published, random, float32, CPU));
        Tensor images = randn([2, 3, 224, 224], generator: random), labels = randint(1000, [2], int64, generator: random);

        Tensor[] logits = network.Forward(images, NormStatistics.Batch);
        IList<Tensor> gradients = autograd.grad([CrossEntropy.PerSample(logits, labels).mean()], [.. network.Parameters]);

        logits.Select(z => z.shape).Should().AllBeEquivalentTo(new long[] { 2, 1000 });
        gradients.Should().OnlyContain(gradient => gradient.isfinite().all().item<bool>());
    }

    /// <summary>The published code starts sub-networks and heads by He's rule, but not the first layer.</summary>
    [Fact]
    public void Published_first_values_differ_from_Hes_in_the_first_layer_alone()
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(9);
        using var network = new RaNet(
            new RaNetOptions(), ImageKind.Cifar, SmallMsdNet.Classes, new LayerFactory(Initialisation.Published, random, float64, CPU));

        double Largest(string name) => network.state_dict()[name].abs().max().item<double>();

        Largest("FirstLayer.layers.0.net.0.weight").Should().BeLessThan(1 / Math.Sqrt(3 * 9), "PyTorch's default is uniform");
        Largest("scale_flows.0.0.layers.0.conv_normal.net.3.weight").Should()
            .BeGreaterThan(3 * Math.Sqrt(2.0 / (9 * 24)), "a normal distribution has tails");
        Largest("classifier.0.linear.bias").Should().Be(0);
    }

    [Theory]
    [InlineData(new[] { 1, 2 }, 4, 0.25, 0.5, "*scaleList is [1, 2]*goes from 1 to 3*")]
    [InlineData(new[] { 2, 3 }, 4, 0.25, 0.5, "*scaleList is [2, 3]*goes from 1 to 3*")]
    [InlineData(new[] { 1, 3 }, 4, 0.25, 0.5, "*scaleList is [1, 3]*each entry the one before or one more*")]
    [InlineData(new[] { 1, 2, 3 }, 1, 0.25, 0.5, "*no channels from the lower resolution*growth 1*")]
    [InlineData(new[] { 1, 2, 3 }, 4, 0.25, 0.01, "*transition is left without channels*")]
    public void A_shape_that_cannot_be_built_is_refused(int[] scales, int growth, double compress, double reduction, string message)
    {
        using var random = new Generator(9);
        int[] ones = [.. scales.Select(_ => 1)];
        RaNetOptions options = SmallRaNet.Options with
        {
            ScaleList = scales,
            GrowthFactors = ones,
            BottleneckFactors = ones,
            Growth = growth,
            Compress = compress,
            Reduction = reduction,
        };

        FluentActions.Invoking(() => SmallRaNet.Build(float32, random, options: options)).Should().Throw<ArgumentException>()
            .WithMessage(message);
    }

    [Fact]
    public void Lists_of_different_lengths_are_refused()
    {
        using var random = new Generator(9);

        FluentActions.Invoking(() => SmallRaNet.Build(float32, random, options: SmallRaNet.Options with { GrowthFactors = [1, 1] }))
            .Should().Throw<ArgumentException>().WithMessage("*scaleList lists 3 sub-networks, growthFactors 2 and bottleneckFactors 3*");
    }
}

using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Msd;
using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Tests.Experiments.Verification;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Tests.Backbones;

/// <summary>MSDNet apart from its numbers, which <c>GoldenVerificationTests</c> holds against the published ones.</summary>
public sealed class MsdNetTests
{
    private static readonly MsdNetOptions ImageNet = new() { Blocks = 2, Base = 4, Step = 4, StepMode = StepMode.Even, Channels = 8, Growth = 4, GrowthFactors = [1, 2, 4, 4], BottleneckFactors = [1, 2, 4, 4] };

    [SkippableFact]
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
        stack(logits).pow(2).sum().backward();

        logits.Should().HaveCount(2).And.OnlyContain(z => z.shape.SequenceEqual(new long[] { 2, 1000 }));
        network.Parameters[1].grad!.abs().sum().item<float>().Should().BePositive("the first convolution's bias takes part");
    }

    [Theory]
    [InlineData(ImageKind.Cifar, 3)]
    [InlineData(ImageKind.ImageNet, 4)]
    public void A_wrong_number_of_scales_is_refused(ImageKind images, int scales)
    {
        using var random = new Generator(1);
        int[] factors = [.. Enumerable.Repeat(1, 7 - scales)]; // the other form's
        FluentActions.Invoking(
            ()
                => new MsdNet(
                    ImageNet with { GrowthFactors = factors, BottleneckFactors = factors }, images, 10,
                    new LayerFactory(Initialisation.He, random, float32, CPU)))
            .Should().Throw<ArgumentException>().WithMessage($"*growthFactors lists {7 - scales}*has {scales}*");
    }
}

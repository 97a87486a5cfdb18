using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Tests.Backbones.Linearised;

namespace Imta.MetaWeight.Tests.Backbones;

/// <summary>The network of IMTA's phase II.</summary>
public sealed class PhaseTwoNetworkTests
{
    private static readonly CollaborationOptions Isc = new() { Enabled = true };

    [Theory]
    [InlineData("msdnet")]
    [InlineData("ranet")]
    public void Only_the_new_linear_layers_and_transfers_are_trained(string backbone)
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(6);
        using PhaseTwoNetwork network = Build(backbone, Isc, FrozenNorm.Fixed, random);

        network.ParameterNames.Should().Equal(
            "classifier.0.weight", "classifier.0.bias", "classifier.1.weight", "classifier.1.bias", "classifier.2.weight",
            "classifier.2.bias",
            "isc_modules.0.0.weight", "isc_modules.0.0.bias", "isc_modules.0.1.weight", "isc_modules.0.1.bias",
            "isc_modules.1.0.weight", "isc_modules.1.0.bias", "isc_modules.1.1.weight", "isc_modules.1.1.bias");
        network.named_parameters().Where(entry => entry.name.StartsWith("net.", StringComparison.Ordinal)).Should().NotBeEmpty()
            .And.OnlyContain(entry => !entry.parameter.requires_grad);
    }

    [Theory]
    [InlineData("msdnet", FrozenNorm.Fixed)]
    [InlineData("msdnet", FrozenNorm.Moving)]
    [InlineData("ranet", FrozenNorm.Fixed)]
    [InlineData("ranet", FrozenNorm.Moving)]
    public void Its_linearised_pass_is_that_of_autograd_and_the_teacher_is_the_last_exit_of_phase_one(string backbone, FrozenNorm norm)
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(6);
        using PhaseTwoNetwork network = Build(backbone, Isc with { Gradient = TransferGradient.Flow }, norm, random);
        using MultiExitNetwork phaseOne = PhaseOne(backbone, random);
        phaseOne.load_state_dict(
            network.state_dict().Where(entry => entry.Key.StartsWith("net.", StringComparison.Ordinal))
                .ToDictionary(entry => entry.Key[4..], entry => entry.Value));
        Tensor images = randn([5, 3, 32, 32], float64, generator: random);
        double[] own = GoldenFile.Values(
            phaseOne.Forward(images, norm == FrozenNorm.Fixed ? NormStatistics.Running : NormStatistics.Batch)[^1]);
        var probe = new Probe(network, images, random);
        var pass = new Pass(NormStatistics.Batch);

        network.Forward(images, pass);

        GoldenFile.RelativeError(GoldenFile.Values(pass.Teacher!), own).Should().BeLessThan(1e-12);
        GoldenFile.RelativeError(GoldenFile.Values(probe.Pass.Teacher!), own).Should().BeLessThan(1e-12);
        probe.ErrorOfLogits().Should().BeLessThan(1e-12);
        probe.ErrorOfGradient().Should().BeLessThan(1e-11);
        probe.ErrorOfTangent().Should().BeLessThan(1e-12);
        probe.Asymmetry().Should().BeLessThan(1e-13);
    }

    [Theory]
    [InlineData(FrozenNorm.Fixed, false)]
    [InlineData(FrozenNorm.Moving, true)]
    public void Batch_norm_of_the_frozen_network_is_frozen_too_unless_it_moves(FrozenNorm norm, bool moves)
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(6);
        using PhaseTwoNetwork network = Build("msdnet", Isc, norm, random);
        double[] Buffers(string start)
            =>
            [
                .. network.named_buffers().Where(entry => entry.name.StartsWith(start, StringComparison.Ordinal))
                    .SelectMany(entry => GoldenFile.Values(entry.buffer)),
            ];
        (double[] ofNet, double[] ofTransfers) = (Buffers("net."), Buffers("isc_modules."));
        Tensor images = randn([5, 3, 32, 32], float64, generator: random);

        network.Forward(images, NormStatistics.Batch);
        network.Forward(images, NormStatistics.Running);
        Buffers("").Should().Equal([.. ofNet, .. ofTransfers]);
        network.Forward(images, NormStatistics.BatchAndUpdate);

        Buffers("net.").SequenceEqual(ofNet).Should().Be(!moves);
        Buffers("isc_modules.").SequenceEqual(ofTransfers).Should().BeFalse();
    }

    [Fact]
    public void Without_collaboration_it_costs_what_phase_one_costs()
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(6);
        using MultiExitNetwork phaseOne = PhaseOne("ranet", random);
        using PhaseTwoNetwork network = Build("ranet", new CollaborationOptions(), FrozenNorm.Fixed, random);

        network.Cost(32).Exits.Should().Equal(phaseOne.Cost(32).Exits);
        network.HasTrueGradients.Should().BeTrue();
    }

    private static PhaseTwoNetwork Build(string backbone, CollaborationOptions isc, FrozenNorm norm, Generator random)
        => new(PhaseOne(backbone, random), isc, norm, new LayerFactory(Initialisation.He, random, float64, CPU));

    private static ExitHeadNetwork PhaseOne(string backbone, Generator random)
        => backbone == "msdnet" ? SmallMsdNet.Build(float64, random, blocks: 3) : SmallRaNet.Build(float64, random);
}

using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Tests.Backbones.Linearised;

namespace Imta.MetaWeight.Tests.Backbones;

/// <summary>A third backbone is its own files, its options and one line.</summary>
public sealed class ToyNetTests
{
    private static readonly Registry<Backbone> Registry =
        new("backbone", backbone => backbone.Name, backbone => backbone.DefaultOptions()) { ToyNet.Backbone };

    private static Settings Settings => new()
    {
        Model = new() { Backbone = new Choice<Backbone>(Registry).With("toy", new ToyNetOptions { Stages = 3 }) },
        Modifiers = new() { Isc = new() { Enabled = true } },
    };

    [Fact]
    public void The_configuration_builds_it()
    {
        using MultiExitNetwork network = NetworkBuilder.Build(Settings, CPU);

        network.GetName().Should().Be("ToyNet");
        (Settings.Model.Exits(), network.Exits).Should().Be((3, 3));
        network.ParameterNames.Should().Contain("isc_modules.0.0.weight");
    }

    [Fact]
    public void It_trains_in_two_phases_with_collaboration()
    {
        using MultiExitNetwork network = NetworkBuilder.Build(Settings with { Phase2 = new() { Epochs = 1 } }, CPU);

        network.Should().BeOfType<PhaseTwoNetwork>();
        network.ParameterNames.Should()
            .HaveCount(14).And.OnlyContain(name => name.StartsWith("classifier.") || name.StartsWith("isc_modules."));
    }

    /// <summary>Before it is built, a network is counted by its shapes, whose tensors have no values.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void One_whose_constructor_reads_its_parameters_is_built_too(bool copies)
    {
        Backbone reads = Backbone.Create<ToyNetOptions>("toy", options => options.Stages, (options, images, classes, factory, modifiers) =>
        {
            var network = new ToyNet(options, images, classes, factory, modifiers);
            Tensor first = network.parameters().First();
            double.IsFinite(copies ? first.sum().item<float>() : first.data<float>()[0]).Should().BeTrue();
            return network;
        });
        var registry = new Registry<Backbone>("backbone", backbone => backbone.Name, backbone => backbone.DefaultOptions()) { reads };
        var model = new ModelOptions { Backbone = new Choice<Backbone>(registry).With("toy", new ToyNetOptions { Stages = 3 }) };

        using MultiExitNetwork network = NetworkBuilder.Build(new Settings { Model = model }, CPU);

        network.Exits.Should().Be(3);
    }

    [Fact]
    public void Its_linearised_pass_is_that_of_autograd()
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(6);
        var modifiers = new ModifierOptions { Isc = new() { Enabled = true, Gradient = TransferGradient.Flow } };
        using var network = new ToyNet(
            new ToyNetOptions(), ImageKind.Cifar, 10, new LayerFactory(Initialisation.He, random, float64, CPU), modifiers);
        var probe = new Probe(network, randn([5, 3, 32, 32], float64, generator: random), random);

        probe.ErrorOfLogits().Should().BeLessThan(1e-12);
        probe.ErrorOfGradient().Should().BeLessThan(1e-11);
        probe.Asymmetry().Should().BeLessThan(1e-13);
    }

    [Fact]
    public void Its_own_rules_are_those_of_the_settings()
    {
        var nine = new ToyNetOptions { Stages = 9 };
        Settings settings = Settings with { Model = new() { Backbone = new Choice<Backbone>(Registry).With("toy", nine) } };

        SettingsRules.Violations(settings).Should().ContainSingle().Which.Should().BeEquivalentTo(
            ((string[])["model.toy.stages", "model.toy.width"], "model.toy.stages is 9 and width 4; a toy is as wide as it is deep"));
    }
}

using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Msd;
using Imta.MetaWeight.Backbones.Ra;

namespace Imta.MetaWeight.Tests.Backbones;

/// <summary>Networks counted by their shapes.</summary>
public sealed class LayerFactoryTests
{
    private static readonly Device Meta = new(DeviceType.META);
    private static readonly ModifierOptions Isc = new() { Isc = new CollaborationOptions { Enabled = true } };

    [Fact]
    public void Without_memory_a_network_has_the_names_and_shapes_that_it_has_with_it_and_draws_nothing()
    {
        using Generator random = new(1), same = new(1), other = new(1);
        foreach (Func<LayerFactory, MultiExitNetwork> build in (Func<LayerFactory, MultiExitNetwork>[])
        [
            factory => new MsdNet(new MsdNetOptions(), ImageKind.Cifar, 10, factory, Isc),
            factory => new RaNet(new RaNetOptions(), ImageKind.Cifar, 10, factory, Isc),
        ])
        {
            using MultiExitNetwork real = build(Factory(other, CPU)), counted = build(Factory(random, Meta));

            Shapes(counted).Should().Equal(Shapes(real));
            counted.parameters().Should().OnlyContain(parameter => parameter.device_type == DeviceType.META);
        }

        using DisposeScope scope = NewDisposeScope();
        rand([8], generator: random).data<float>().ToArray().Should().Equal(rand([8], generator: same).data<float>().ToArray());

        static IEnumerable<string> Shapes(MultiExitNetwork network)
            => network.state_dict().Select(entry => $"{entry.Key} {entry.Value.dtype} {string.Join(',', entry.Value.shape)}");
    }

    /// <summary>Over 16 TB as float32: weights that were drawn, or kept, would end the test.</summary>
    [Fact]
    public void A_network_far_larger_than_any_memory_is_counted()
    {
        using Generator random = new(1);

        using var network = new MsdNet(
            new MsdNetOptions { Blocks = 30, Channels = 2048, Growth = 2048 }, ImageKind.Cifar, 10, Factory(random, Meta));

        network.parameters().Sum(parameter => parameter.numel()).Should().BeGreaterThan(1L << 42);
        network.state_dict().Values.Should().OnlyContain(tensor => tensor.device_type == DeviceType.META);
    }

    /// <summary>216 weights as float32 and, while they are drawn, as float64; 24 numbers of a buffer; 1.5 KiB for each tensor.</summary>
    [Theory]
    [InlineData(1536 + (216 * 12), true)]
    [InlineData(1536 + (216 * 12) - 1, false)]
    public void What_takes_more_than_it_may_is_refused_before_it_is_made(long most, bool fits)
    {
        using Generator random = new(1), same = new(1);
        LayerFactory factory = Factory(random, CPU) with { MaxBytes = most };

        Action make = () => factory.ConvolutionWeight(8, 3, 3).Dispose();

        if (fits)
        {
            make.Should().NotThrow();
            factory.Invoking(one => one.Buffer(24, 0).Dispose()).Should().NotThrow();
            factory.Invoking(one => one.Buffer(1L << 40, 0)).Should().Throw<InsufficientMemoryException>();
        }
        else
        {
            make.Should().Throw<InsufficientMemoryException>();
            using DisposeScope scope = NewDisposeScope();
            rand([8], generator: random).data<float>().ToArray().Should().Equal(rand([8], generator: same).data<float>().ToArray());
        }
    }

    private static LayerFactory Factory(Generator random, Device device) => new(Initialisation.He, random, float32, device);
}

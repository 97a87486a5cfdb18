using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Layers;
using Imta.MetaWeight.Backbones.Msd;

namespace Imta.MetaWeight.Tests.Backbones;

/// <summary>Costs by the published counters' rule; <c>flops.csv</c> holds whole networks against them.</summary>
public sealed class NetworkCostTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly CostMeter _meter = new();

    [Fact]
    public void A_convolution_costs_its_weights_at_each_place_and_its_bias_nothing()
    {
        _meter.Convolution(zeros([8, 3, 7, 7]), zeros([8]), zeros([2, 8, 5, 4]));

        (_meter.Macs, _meter.Parameters, _meter.Activations).Should().Be((8 * 3 * 7 * 7 * 5 * 4, (8 * 3 * 7 * 7) + 8, 8 * 5 * 4));
    }

    [Fact]
    public void A_linear_layer_costs_weights_and_bias()
    {
        _meter.Linear(zeros([10, 128]), zeros([10]), zeros([2, 10]));

        (_meter.Macs, _meter.Parameters, _meter.Activations).Should().Be((1290, 1290, 10));
    }

    [Fact]
    public void ReLU_costs_its_elements_pooling_the_kernel_at_each_and_the_rest_nothing()
    {
        _meter.Elementwise(zeros([2, 8, 4, 4]));
        _meter.Pooling(3, zeros([2, 8, 2, 2]));
        _meter.Uncounted(parameters: 16, zeros([2, 8, 4, 4]));

        (_meter.Macs, _meter.Parameters, _meter.Activations).Should().Be((128 + (32 * 9), 16, 128 + 32 + 128));
    }

    [Fact]
    public void Costs_grow_from_exit_to_exit_and_counting_changes_nothing()
    {
        using var random = new Generator(3);
        using MsdNet network = SmallMsdNet.Build(float32, random);
        float[] before = [.. network.state_dict().Values.SelectMany(value => value.to_type(float32).data<float>().ToArray())];

        NetworkCost cost = network.Cost(32);

        cost.Exits.Should().HaveCount(2).And.BeInAscendingOrder(exit => exit.Macs).And.BeInAscendingOrder(exit => exit.Parameters);
        cost.Exits[^1].Parameters.Should().Be(network.Parameters.Sum(parameter => parameter.numel()));
        network.state_dict().Values.SelectMany(value => value.to_type(float32).data<float>().ToArray()).Should().Equal(before);
    }

    public void Dispose() => _scope.Dispose();
}

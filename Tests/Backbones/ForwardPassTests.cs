using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Msd;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Tests.Backbones;

/// <summary>What the bilevel loop relies on in a backbone's forward pass, on a small MSDNet.</summary>
public sealed class ForwardPassTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly Generator _random = new(5);
    private readonly MsdNet _network;
    private readonly Tensor _images;

    public ForwardPassTests()
    {
        _network = SmallMsdNet.Build(float64, _random);
        _images = randn([4, 3, 32, 32], float64, generator: _random);
    }

    [Theory]
    [InlineData(NormStatistics.Running)]
    [InlineData(NormStatistics.Batch)]
    [InlineData(NormStatistics.BatchAndUpdate)]
    public void Equal_parameters_in_the_places_of_its_own_give_equal_logits(NormStatistics statistics)
    {
        Tensor[] own = _network.Forward(_images, statistics);
        Tensor[] substituted = _network.Forward(_images, Copies(), statistics);

        own.Should().HaveCount(_network.Exits);
        Bits(substituted).Should().Equal(Bits(own));
    }

    [Fact]
    public void Other_parameters_in_the_places_of_its_own_give_the_logits_of_a_network_that_has_them()
    {
        Tensor[] others = [.. _network.Parameters.Select(parameter => parameter.detach().add(Held(0.01), One))];
        Tensor[] substituted = _network.Forward(_images, others, NormStatistics.Batch);
        using (no_grad())
        {
            for (int p = 0; p < others.Length; p++)
            {
                _network.Parameters[p].copy_(others[p]);
            }
        }

        Bits(substituted).Should().Equal(Bits(_network.Forward(_images, NormStatistics.Batch)));
    }

    [Theory]
    [InlineData(NormStatistics.Running)]
    [InlineData(NormStatistics.Batch)]
    public void Evaluation_and_the_lookahead_leave_running_statistics_alone(NormStatistics statistics)
    {
        double[] before = Bits(_network.buffers());
        _network.Forward(_images, statistics);
        _network.Forward(_images, Copies(), statistics);

        Bits(_network.buffers()).Should().Equal(before);
    }

    [Fact]
    public void Training_and_the_lookahead_normalise_alike_and_evaluation_otherwise()
    {
        double[] lookahead = Bits(_network.Forward(_images, NormStatistics.Batch));
        double[] evaluation = Bits(_network.Forward(_images, NormStatistics.Running));

        Bits(_network.Forward(_images, NormStatistics.BatchAndUpdate)).Should().Equal(lookahead).And.NotEqual(evaluation);
        Bits(_network.Forward(_images, NormStatistics.Running)).Should().NotEqual(evaluation, "the running statistics have moved");
    }

    [Fact]
    public void A_gradient_reaches_every_parameter_in_use_and_none_that_was_replaced()
    {
        Tensor[] copies = [.. Copies().Select(copy => copy.requires_grad_())];
        stack(_network.Forward(_images, copies, NormStatistics.Batch)).pow(Held(2)).sum().backward();

        copies.Should().OnlyContain(copy => copy.grad!.isfinite().all().item<bool>());
        _network.Parameters.Should().OnlyContain(parameter => ReferenceEquals(parameter.grad, null));
    }

    [Fact]
    public void Too_few_parameters_are_refused() => _network.Invoking(network => network.Forward(_images, [], NormStatistics.Batch))
        .Should().Throw<ArgumentException>().WithMessage("MSDNet has * parameters, not 0.*");

    public void Dispose()
    {
        _network.Dispose();
        _random.Dispose();
        _scope.Dispose();
    }

    private Tensor[] Copies() => [.. _network.Parameters.Select(parameter => parameter.detach().clone())];

    private static double[] Bits(IEnumerable<Tensor> tensors)
        => [.. tensors.SelectMany(tensor => tensor.to_type(float64).data<double>().ToArray())];
}

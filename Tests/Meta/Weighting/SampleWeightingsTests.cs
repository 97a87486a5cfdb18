using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Tests.Meta.Weighting;

/// <summary>Every method is an object that says what it is and owns its state.</summary>
public sealed class SampleWeightingsTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    [Fact]
    public void A_learned_one_goes_on_from_a_state_as_the_one_that_was_saved()
    {
        using var tiny = new TinyBilevel();
        using var random = new Generator(99);
        using var other = (LearnedWeighting)WeightingMethod.Predicted.Build(
            new NoOptions(), new MetaOptions { Wpn = new WpnOptions { Hidden = 5 } }, tiny.Network, random);
        tiny.Loop.Step(tiny.Batch(8), new LearningRates(0.1, 0.01), learns: true);

        other.LoadState(tiny.Weighting.State);

        other.Optimiser.Steps.Should().Be(2);
        Values(other).Should().Equal(Values(tiny.Weighting));
    }

    /// <summary>A method of somebody else's is one class of four members.</summary>
    [Fact]
    public void One_from_outside_weighs_the_samples_of_both_halves()
    {
        using var tiny = new TinyBilevel();
        double[] before = tiny.BackboneState();
        ISampleWeighting weighting = new HardExamples();

        IReadOnlyList<HalfBatchReport> halves = tiny.LoopOf(weighting)
            .Step(tiny.Batch(8), new LearningRates(0.1, 0.01), learns: weighting.Learns(0));

        halves.Should().HaveCount(2).And.OnlyContain(half => half.Weights.eq(half.CrossEntropies).all().item<bool>());
        tiny.BackboneState().Should().NotEqual(before);
        weighting.Invoking(one => one.Update([ones(1)], 1)).Should().Throw<InvalidOperationException>()
            .WithMessage("hard examples: *");
    }

    [Fact]
    public void A_method_knows_without_building_whether_a_batch_is_cut_and_builds_nothing_else()
    {
        using var tiny = new TinyBilevel();
        using var random = new Generator(1);
        var (halves, heldOut) = (new MetaOptions(), new MetaOptions { Source = MetaSource.HeldOut });
        WeightingMethod whole = Method(learns: false, own => own is null), learned = Method(learns: true);

        whole.CutsBatch(new NoOptions(), halves).Should().BeFalse();
        Method(learns: false).CutsBatch(new NoOptions(), heldOut).Should().BeTrue();
        learned.CutsBatch(new NoOptions(), halves).Should().BeTrue();
        learned.CutsBatch(new NoOptions(), heldOut).Should().BeFalse();

        using (learned.Build(new NoOptions(), halves, tiny.Network, random))
        {
            whole.Invoking(method => method.Build(new NoOptions(), halves, tiny.Network, random))
                .Should().Throw<InvalidOperationException>().WithMessage("CutsBatch of the weighting hard is True*another cutsBatch.");
            learned.Invoking(method => method.Build(new NoOptions(), heldOut, tiny.Network, random))
                .Should().Throw<InvalidOperationException>().WithMessage("*but its method learns, and meta data are HeldOut.");
        }

        Action both = () => Method(learns: true, _ => true);
        both.Should().Throw<ArgumentException>().WithMessage("hard learns, *");
    }

    public void Dispose() => _scope.Dispose();

    private static WeightingMethod Method(bool learns, Func<NoOptions, bool>? cutsBatch = null)
        => WeightingMethod.Create("hard", learns, (_, _, _, _) => new HardExamples(), cutsBatch);

    private static double[] Values(LearnedWeighting weighting)
        => [.. weighting.State.AllTensors.SelectMany(entry => entry.Tensor.data<double>().ToArray())];

    private sealed class HardExamples : ISampleWeighting
    {
        public string Description => "hard examples";

        public bool CutsBatch => true;

        public Tensor Features(IForward forward) => forward.CrossEntropies;

        public Tensor Weights(Tensor features) => features.clone();
    }
}

using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Tests.Meta;

public sealed class BilevelLoopTests : IDisposable
{
    private static readonly LearningRates OfTest = new(0.1, 0.01);

    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly TinyBilevel _tiny = new();

    [Fact]
    public void A_step_updates_both_networks_in_both_parts()
    {
        (double[] backbone, double[] weighting) = (_tiny.BackboneState(), _tiny.WeightingState());
        IReadOnlyList<HalfBatchReport> parts = _tiny.Loop.Step(_tiny.Batch(8), OfTest, learns: true);

        parts.Should().HaveCount(2).And.OnlyContain(part => part.Objective!.item<double>() > 0);
        _tiny.Weighting.Optimiser.Steps.Should().Be(2);
        _tiny.BackboneState().Should().NotEqual(backbone);
        _tiny.WeightingState().Should().NotEqual(weighting);
    }

    [Fact]
    public void A_step_between_two_intervals_predicts_weights_and_leaves_their_network_alone()
    {
        (double[] backbone, double[] weighting) = (_tiny.BackboneState(), _tiny.WeightingState());
        IReadOnlyList<HalfBatchReport> parts = _tiny.Loop.Step(_tiny.Batch(8), OfTest, learns: false);

        parts.Should().HaveCount(2).And.OnlyContain(part => ReferenceEquals(part.Objective, null));
        Values(parts[0].Weights).Should().NotContain(1.0);
        Values(parts[0].Weights).Should()
            .Equal(Values(_tiny.Weighting.Weights(parts[0].CrossEntropies)), "the features of this weighting are the losses");
        _tiny.WeightingState().Should().Equal(weighting);
        _tiny.BackboneState().Should().NotEqual(backbone);
    }

    [Fact]
    public void Weights_of_the_real_update_are_those_of_the_updated_network()
    {
        HalfBatchReport last = _tiny.Loop.Step(_tiny.Batch(8), OfTest, learns: true)[1];

        Values(last.Weights).Should().Equal(Values(_tiny.Weighting.Weights(last.CrossEntropies)));
    }

    [Fact]
    public void The_plain_loop_takes_the_whole_batch_with_weights_of_1()
    {
        LabelledImages batch = _tiny.Batch(7);
        Tensor[] logits = _tiny.Network.Forward(batch.Images, NormStatistics.Batch);
        Tensor loss = stack(logits.Select(z => nn.functional.cross_entropy(z, batch.Labels))).sum();
        IReadOnlyList<Tensor?> gradient = Autograd.Gradients("the loss", [loss], null, _tiny.Network.Parameters);
        double[] expected = [.. _tiny.Optimiser.Lookahead(gradient, OfTest.Backbone).SelectMany(Values)];

        HalfBatchReport report = _tiny.PlainLoop.Step(batch, OfTest, learns: false).Should().ContainSingle().Which;

        GoldenFile.RelativeError([.. _tiny.Network.Parameters.SelectMany(Values)], expected).Should().BeLessThan(1e-14);
        report.Weights.shape.Should().Equal(7, 2);
        Values(report.Weights).Should().OnlyContain(weight => weight == 1);
        report.Objective.Should().BeNull();
    }

    [Fact]
    public void A_report_says_what_the_part_saw_before_its_update()
    {
        LabelledImages batch = _tiny.Batch(6);
        Tensor[] logits = _tiny.Network.Forward(batch.Images, NormStatistics.Batch);
        HalfBatchReport report = _tiny.PlainLoop.Step(batch, OfTest, learns: false)[0];

        Values(report.Losses).Should().Equal(Values(CrossEntropy.PerSample(logits, batch.Labels)));
        Tensor right = stack(logits.Select(z => z.argmax(1).eq(batch.Labels)), 1); // [N, K]
        report.Correct.eq(right).all().item<bool>().Should().BeTrue();
        new[] { report.Losses, report.Weights, report.Correct }.Should().OnlyContain(tensor => !tensor.requires_grad);
    }

    [Fact]
    public void The_first_half_of_an_odd_batch_has_one_sample_more()
        => _tiny.Loop.Step(_tiny.Batch(7), OfTest, learns: true).Select(part => part.Losses.shape[0]).Should().Equal(4, 3);

    [Fact]
    public void A_batch_of_one_sample_is_refused_before_anything_changes()
    {
        (double[] backbone, double[] weighting) = (_tiny.BackboneState(), _tiny.WeightingState());

        _tiny.Invoking(tiny => tiny.Loop.Step(tiny.Batch(1), OfTest, learns: true)).Should().Throw<ArgumentException>()
            .WithMessage("*one sample*");
        _tiny.BackboneState().Should().Equal(backbone);
        _tiny.WeightingState().Should().Equal(weighting);
    }

    [Theory]
    [InlineData(true, 12)]
    [InlineData(false, 10)]
    public void A_step_leaves_its_caller_the_reports_and_nothing_else(bool learns, int tensors)
    {
        LabelledImages batch = _tiny.Batch(8);
        _tiny.Loop.Step(batch, OfTest, learns); // creates the momentum buffers
        using DisposeScope ofCaller = NewDisposeScope();

        _tiny.Loop.Step(batch, OfTest, learns);

        ofCaller.DisposablesCount.Should().Be(tensors);
        _tiny.PlainLoop.Step(batch, OfTest, learns);
        ofCaller.DisposablesCount.Should().Be(tensors + 5);
    }

    public void Dispose()
    {
        _tiny.Dispose();
        _scope.Dispose();
    }

    private static double[] Values(Tensor tensor) => tensor.data<double>().ToArray();
}

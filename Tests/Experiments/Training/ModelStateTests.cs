using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Training;
using Imta.MetaWeight.Experiments.Training.Distributed;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;

namespace Imta.MetaWeight.Tests.Experiments.Training;

/// <summary>A model's state: what it is called, what undoes a batch, and what in it is NaN or infinite.</summary>
public sealed class ModelStateTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly RunModel _model = RunModel.Build(
        TrainingPhase.ForRun(new Settings { Train = new() { Momentum = 0.9 } })[0],
        [
            .. Enumerable.Repeat(1L, 10),
        ], CPU, ProcessGroup.SingleProcess);

    public void Dispose()
    {
        _model.Dispose();
        _scope.Dispose();
    }

    [Fact]
    public void It_has_the_names_of_published_checkpoints()
        => _model.State.Groups.Keys.Should().Equal("state_dict", "optimizer", "meta_state_dict", "meta_optimizer");

    [Fact]
    public void A_snapshot_takes_a_batch_back_from_all_of_it()
    {
        Step();
        using var before = new ModelSnapshot(_model);
        using var numbers = new Copied(_model.State);
        Step();
        numbers.Differs(_model.State).Should().BeTrue();

        before.Restore();

        numbers.Differs(_model.State).Should().BeFalse();
    }

    [Theory]
    [InlineData("optimizer", "momentum")]
    [InlineData("meta_state_dict", "the weight-prediction network's output_layer.bias")]
    [InlineData("meta_optimizer", "an Adam moment of the weight-prediction network")]
    public void A_number_that_is_not_finite_is_named_by_what_it_belongs_to(string group, string name)
    {
        Step();
        NonFinite.FindIn(_model.State).Should().BeNull();
        using (no_grad())
        {
            Tensor broken = _model.State.Group(group).AllTensors.Last(
                entry => group != "meta_state_dict" || entry.Name == "output_layer.bias").Tensor;
            broken.fill_(Held(double.PositiveInfinity));
        }

        NonFinite.FindIn(_model.State).Should().Be(name);
    }

    [Fact]
    public void A_tensor_of_the_backbone_is_named_as_it_is()
    {
        (string name, Tensor tensor) = _model.State.Group("state_dict").AllTensors.First(entry => entry.Tensor.is_floating_point());
        using (no_grad())
        {
            tensor.fill_(Held(double.NaN));
        }

        NonFinite.FindIn(_model.State).Should().Be(name);
    }

    private void Step()
    {
        using DisposeScope scope = NewDisposeScope();
        var batch = new LabelledImages(randn([4, 3, ImageSet.Side, ImageSet.Side]), zeros([4], int64));
        _model.Loop.Step(batch, new LearningRates(0.1, 0.1), learns: true);
    }

    private sealed class Copied(StateTree state) : IDisposable
    {
        private readonly StateTree _copy = state.Copy();

        public bool Differs(StateTree other)
            => Numbers(_copy) != Numbers(other)
            || !_copy.AllTensors.Zip(other.AllTensors)
                .All(pair => pair.First.Name == pair.Second.Name && pair.First.Tensor.equal(pair.Second.Tensor).all().item<bool>());

        public void Dispose()
        {
            foreach ((_, Tensor tensor) in _copy.AllTensors)
            {
                tensor.Dispose();
            }
        }

        private static double Numbers(StateTree tree) => tree.Group("meta_optimizer").Number("step");
    }
}

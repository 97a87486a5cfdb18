using Imta.MetaWeight.Backbones;

namespace Imta.MetaWeight.Tests.Backbones;

public sealed class StateTreeTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    [Fact]
    public void Tensors_of_groups_have_their_groups_names_before_their_own()
        => Tree().AllTensors.Select(entry => entry.Name).Should().Equal("scale", "optimizer.momentum.a", "optimizer.momentum.b.c");

    [Fact]
    public void A_copy_stays_what_it_was_and_outlives_the_scope()
    {
        StateTree tree = Tree(), copy;
        using (NewDisposeScope())
        {
            copy = tree.Copy();
        }

        tree.Tensor("scale").fill_(Held(9));
        tree.Numbers["step"] = 8;

        copy.Tensor("scale").item<double>().Should().Be(1);
        copy.WholeNumber("step").Should().Be(7);
        copy.Group("optimizer").Group("momentum").Tensor("a").item<double>().Should().Be(2);
        foreach ((_, Tensor tensor) in copy.AllTensors)
        {
            tensor.Dispose();
        }
    }

    [Fact]
    public void What_is_missing_or_not_whole_is_named()
    {
        StateTree tree = Tree();

        tree.Invoking(of => of.Tensor("none")).Should().Throw<InvalidDataException>().WithMessage("it has no 'none'");
        tree.Invoking(of => of.Group("scale")).Should().Throw<InvalidDataException>().WithMessage("it has no 'scale'");
        tree.Invoking(of => of.WholeNumber("rate")).Should().Throw<InvalidDataException>()
            .WithMessage("its 'rate' is 0.5; expected an integer");
        tree.Numbers["rate"] = double.NaN;
        tree.Invoking(of => of.WholeNumber("rate")).Should().Throw<InvalidDataException>();
    }

    [Fact]
    public void Trees_that_share_a_name_are_not_put_together()
    {
        StateTree tree = Tree();
        tree.Add(new StateTree { Numbers = { ["other"] = 1 } });

        tree.Number("other").Should().Be(1);
        tree.Invoking(of => of.Add(new StateTree { Groups = { ["optimizer"] = new StateTree() } })).Should().Throw<ArgumentException>();
    }

    public void Dispose() => _scope.Dispose();

    private static StateTree Tree() => new()
    {
        Tensors = { ["scale"] = tensor(1.0) },
        Numbers = { ["step"] = 7, ["rate"] = 0.5 },
        Groups =
        {
            ["optimizer"] = new StateTree
            {
                Groups = { ["momentum"] = new StateTree(new Dictionary<string, Tensor> { ["a"] = tensor(2.0), ["b.c"] = tensor(3.0) }) },
            },
        },
    };
}

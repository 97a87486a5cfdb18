using TorchSharp.Modules;

namespace Imta.MetaWeight.Tests.TorchSharp;

public sealed class ModuleTests
{
    [Fact]
    public void Names_of_nested_parts_are_joined_by_dots()
    {
        using var net = new Net();

        net.named_parameters().Select(entry => entry.name).Should().BeEquivalentTo("scale", "block.weight", "block.inner.weight");
        net.named_buffers().Select(entry => entry.name).Should().BeEquivalentTo("block.mean", "block.scratch", "block.inner.mean", "block.inner.scratch");
        net.named_parameters(recurse: false).Select(entry => entry.name).Should().Equal("scale");
        net.named_buffers(recurse: false).Should().BeEmpty();
        net.named_children().Select(entry => entry.name).Should().Equal("block");
        net.parameters().Should().HaveCount(3);
        net.buffers().Should().HaveCount(4);
        net.GetName().Should().Be(nameof(Net));
    }

    [Fact]
    public void The_state_is_parameters_and_persistent_buffers_themselves()
    {
        using var net = new Net();
        Dictionary<string, Tensor> state = net.state_dict();

        state.Keys.Should().BeEquivalentTo("scale", "block.weight", "block.mean", "block.inner.weight", "block.inner.mean");
        state["scale"].Should().BeSameAs(net.named_parameters().Single(entry => entry.name == "scale").parameter);
        net.state_dict(prefix: "net").Keys.Should().OnlyContain(name => name.StartsWith("net."));
    }

    [Fact]
    public void A_state_that_is_loaded_is_copied_into_the_modules_own_tensors()
    {
        using var source = new Net();
        using var target = new Net();
        using (no_grad())
        {
            foreach (Parameter parameter in source.parameters())
            {
                using Tensor filled = parameter.fill_(7);
            }
        }

        Parameter own = target.parameters().First();
        (IList<string> missing, IList<string> unexpected) = target.load_state_dict(source.state_dict());

        missing.Should().BeEmpty();
        unexpected.Should().BeEmpty();
        target.parameters().Should().AllSatisfy(parameter => parameter.data<float>().ToArray().Should().OnlyContain(value => value == 7));
        target.parameters().First().Should().BeSameAs(own);
        own.requires_grad.Should().BeTrue();
        source.Dispose();
        own.data<float>().ToArray().Should().OnlyContain(value => value == 7);
    }

    [Fact]
    public void A_state_with_other_names_is_refused_when_strict_and_reported_when_not()
    {
        using var net = new Net();
        using Tensor strange = ones([2L]);
        Dictionary<string, Tensor> state = net.state_dict();
        state.Remove("scale");
        state["strange"] = strange;
        Action strict = () => net.load_state_dict(state);

        strict.Should().Throw<InvalidOperationException>();
        (IList<string> missing, IList<string> unexpected) = net.load_state_dict(state, strict: false);
        missing.Should().Equal("scale");
        unexpected.Should().Equal("strange");
        net.load_state_dict(state, skip: ["scale", "strange"]).missing_keys.Should().BeEmpty();
    }

    [SkippableFact]
    public void A_state_of_another_shape_is_refused_and_nothing_of_it_copied()
    {
        Skip.IfNot(TorchSource.IsSystem, "TorchSource=package: the package copies what comes before, and broadcasts");
        using DisposeScope scope = NewDisposeScope();
        using var net = new Net();
        Dictionary<string, Tensor> state = net.state_dict().ToDictionary(entry => entry.Key, entry => entry.Value.detach() + 1);
        state["block.inner.mean"] = ones([1L]);
        Action load = () => net.load_state_dict(state);

        load.Should().Throw<InvalidOperationException>().WithMessage("*block.inner.mean is [1], not [2]*");
        net.state_dict()["scale"].data<float>().ToArray().Should().Equal(1, 1);
    }

    [Fact]
    public void Training_mode_is_that_of_all_parts()
    {
        using var net = new Net();
        nn.Module child = net.named_children().Single().module;

        net.training.Should().BeTrue();
        net.eval();
        child.training.Should().BeFalse();
        net.train();
        child.training.Should().BeTrue();
        net.training.Should().BeTrue();
    }

    [Fact]
    public void A_name_is_given_once()
    {
        using var net = new Net();
        using var part = new Block(null);
        using var parameter = new Parameter(ones([2L]));
        Action again = () => net.register_parameter("scale", parameter);
        Action module = () => net.register_module("block", part);

        again.Should().Throw<InvalidOperationException>().WithMessage("*scale*");
        module.Should().Throw<InvalidOperationException>().WithMessage("*block*");
        parameter.IsInvalid.Should().BeFalse();
    }

    [Fact]
    public void A_module_with_dots_in_its_name_is_refused()
    {
        using var net = new Net();
        using var part = new Block(null);
        Action dotted = () => net.register_module("a.b", part);
        Action nameless = () => net.register_module("", part);

        dotted.Should().Throw<ArgumentException>();
        nameless.Should().Throw<ArgumentException>();
    }

    [Fact]
    public void Disposing_takes_all_parts_along()
    {
        var net = new Net();
        Tensor[] all = [.. net.parameters(), .. net.buffers()];
        net.Dispose();
        net.Dispose();

        all.Should().HaveCount(7).And.OnlyContain(tensor => tensor.IsInvalid);
    }

    [Fact]
    public void A_parameter_takes_its_values_over()
    {
        Tensor values = ones([2L]);
        using var parameter = new Parameter(values);
        using var frozen = new Parameter(ones([2L]), requires_grad: false);

        parameter.requires_grad.Should().BeTrue();
        parameter.is_leaf.Should().BeTrue();
        frozen.requires_grad.Should().BeFalse();
        values.IsInvalid.Should().BeTrue();
        parameter.data<float>().ToArray().Should().Equal(1, 1);
    }

    private sealed class Net : nn.Module
    {
        public Net()
            : base(nameof(Net))
        {
            register_parameter("scale", new Parameter(ones([2L])));
            register_module("block", new Block(new Block(null)));
        }
    }

    private sealed class Block : nn.Module
    {
        public Block(nn.Module? inner)
            : base(nameof(Block))
        {
            register_parameter("weight", new Parameter(ones([2L, 2L])));
            register_buffer("mean", zeros([2L]));
            register_buffer("scratch", zeros([3L]), persistent: false);
            if (inner is not null)
            {
                register_module("inner", inner);
            }
        }
    }
}

using TorchSharp.Modules;

namespace Imta.MetaWeight.Tests.TorchSharp;

public sealed class DisposeScopeTests
{
    [Fact]
    public void A_scope_disposes_what_was_created_in_it_and_nothing_else()
    {
        using Tensor before = ones([2L]);
        Tensor inside, computed;
        using (NewDisposeScope())
        {
            inside = ones([2L]);
            computed = inside + before;
        }

        inside.IsInvalid.Should().BeTrue();
        computed.IsInvalid.Should().BeTrue();
        before.IsInvalid.Should().BeFalse();
    }

    [Fact]
    public void Without_a_scope_the_caller_owns_what_is_created()
    {
        CurrentDisposeScope.Should().BeNull();
        using Tensor alone = ones([2L]);
        using (NewDisposeScope())
        {
        }

        alone.IsInvalid.Should().BeFalse();
    }

    [Fact]
    public void A_nested_scope_disposes_its_own_and_gives_way_to_the_outer_one()
    {
        using DisposeScope outer = NewDisposeScope();
        Tensor first = ones([2L]);
        Tensor second;
        using (DisposeScope inner = NewDisposeScope())
        {
            CurrentDisposeScope.Should().BeSameAs(inner);
            second = ones([2L]);
            inner.DisposablesView.Should().Equal(second);
        }

        CurrentDisposeScope.Should().BeSameAs(outer);
        second.IsInvalid.Should().BeTrue();
        first.IsInvalid.Should().BeFalse();
        Tensor third = ones([2L]);
        outer.DisposablesCount.Should().Be(2);
        outer.Contains(third).Should().BeTrue();
    }

    [Fact]
    public void What_is_moved_to_the_outer_scope_goes_with_that_one()
    {
        Tensor bySelf, byScope, left;
        using (NewDisposeScope())
        {
            using (DisposeScope inner = NewDisposeScope())
            {
                left = ones([2L]);
                bySelf = ones([2L]).MoveToOuterDisposeScope();
                byScope = inner.MoveToOuter(ones([2L]));
            }

            left.IsInvalid.Should().BeTrue();
            bySelf.IsInvalid.Should().BeFalse();
            byScope.IsInvalid.Should().BeFalse();
        }

        bySelf.IsInvalid.Should().BeTrue();
        byScope.IsInvalid.Should().BeTrue();
    }

    [Fact]
    public void What_the_outermost_scope_moves_outwards_belongs_to_the_caller()
    {
        Tensor moved;
        using (NewDisposeScope())
        {
            moved = ones([2L]).MoveToOuterDisposeScope();
        }

        moved.IsInvalid.Should().BeFalse();
        moved.Dispose();
    }

    [Fact]
    public void What_is_moved_to_another_scope_goes_with_that_one()
    {
        using DisposeScope outer = NewDisposeScope();
        using DisposeScope middle = NewDisposeScope();
        Tensor bySelf, byScope, unowned;
        using (DisposeScope inner = NewDisposeScope())
        {
            bySelf = ones([2L]).MoveToOtherDisposeScope(outer);
            byScope = inner.MoveToOther(outer, ones([2L]));
            unowned = ones([2L]).DetachFromDisposeScope().MoveToOtherDisposeScope(outer);
        }

        middle.Dispose();
        outer.DisposablesView.Should().BeEquivalentTo([bySelf, byScope, unowned]);
        bySelf.IsInvalid.Should().BeFalse();

        outer.Dispose();
        bySelf.IsInvalid.Should().BeTrue();
        byScope.IsInvalid.Should().BeTrue();
        unowned.IsInvalid.Should().BeTrue();
    }

    [Fact]
    public void What_is_detached_survives_all_scopes()
    {
        Tensor bySelf, byScope;
        using (NewDisposeScope())
        {
            using DisposeScope inner = NewDisposeScope();
            bySelf = ones([2L]).DetachFromDisposeScope();
            byScope = inner.Detach(ones([2L]));
        }

        bySelf.IsInvalid.Should().BeFalse();
        byScope.IsInvalid.Should().BeFalse();
        bySelf.Dispose();
        byScope.Dispose();
    }

    [Fact]
    public void What_is_not_in_a_scope_is_not_moved_or_detached_by_it()
    {
        using DisposeScope outer = NewDisposeScope();
        Tensor owned = ones([2L]);
        using (DisposeScope inner = NewDisposeScope())
        {
            inner.MoveToOuter(owned);
            inner.Detach(owned);
        }

        outer.Contains(owned).Should().BeTrue();
    }

    [Fact]
    public void What_is_attached_belongs_to_the_scope_tensor_or_not()
    {
        using Tensor foreign = ones([2L]);
        using var other = new MemoryStream();
        using (DisposeScope scope = NewDisposeScope())
        {
            scope.Attach(foreign);
            scope.Attach(other);
            scope.DisposablesCount.Should().Be(2);
        }

        foreign.IsInvalid.Should().BeTrue();
        other.CanRead.Should().BeFalse();
    }

    [Fact]
    public void A_scope_can_be_emptied_and_go_on()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor first = ones([2L]);
        scope.DisposeEverything();
        Tensor second = ones([2L]);

        first.IsInvalid.Should().BeTrue();
        second.IsInvalid.Should().BeFalse();
        scope.DisposablesView.Should().Equal(second);
    }

    [Fact]
    public void What_is_disposed_by_hand_leaves_its_scope()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor gone = ones([2L]);
        gone.Dispose();
        gone.Dispose();

        scope.DisposablesCount.Should().Be(0);
        gone.IsInvalid.Should().BeTrue();
    }

    [Fact]
    public void An_in_place_operator_gives_another_object_for_the_same_tensor_with_an_owner_of_its_own()
    {
        using Tensor target = ones([2L]);
        Tensor result;
        using (DisposeScope scope = NewDisposeScope())
        {
            result = target.add_(1);
            scope.DisposablesView.Should().Equal(result);
            result.Should().NotBeSameAs(target);
        }

        result.IsInvalid.Should().BeTrue();
        target.data<float>().ToArray().Should().Equal(2, 2);
    }

    [Fact]
    public void Parameters_and_buffers_that_are_registered_inside_a_scope_survive_it()
    {
        Parameter weight;
        Tensor buffer;
        var module = new Part();
        using (NewDisposeScope())
        {
            weight = new Parameter(ones([2L]));
            buffer = zeros([2L]);
            module.register_parameter("weight", weight);
            module.register_buffer("buffer", buffer);
        }

        weight.data<float>().ToArray().Should().Equal(1, 1);
        buffer.data<float>().ToArray().Should().Equal(0, 0);

        module.Dispose();
        weight.IsInvalid.Should().BeTrue();
        buffer.IsInvalid.Should().BeTrue();
    }

    [Fact]
    public void Gradients_belong_to_the_innermost_scope()
    {
        using DisposeScope outer = NewDisposeScope();
        Tensor x = ones([2L], requires_grad: true);
        Tensor y = (x * x).sum();
        IList<Tensor> gradients;
        using (NewDisposeScope())
        {
            gradients = autograd.grad([y], [x]);
        }

        gradients[0].IsInvalid.Should().BeTrue();
        y.IsInvalid.Should().BeFalse();
    }

    [Fact]
    public async Task Each_thread_has_scopes_of_its_own()
    {
        using DisposeScope here = NewDisposeScope();
        (Tensor kept, Tensor gone) = await Task.Factory.StartNew(
            () =>
            {
                CurrentDisposeScope.Should().BeNull();
                Tensor kept = ones([2L]);
                using DisposeScope there = NewDisposeScope();
                return (kept, ones([2L]));
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default);

        here.DisposablesCount.Should().Be(0);
        gone.IsInvalid.Should().BeTrue();
        kept.IsInvalid.Should().BeFalse();
        kept.Dispose();
    }

    [Fact]
    public void An_exception_on_the_way_out_leaves_nothing_behind()
    {
        Tensor? made = null;
        Action fails = () =>
        {
            using DisposeScope scope = NewDisposeScope();
            made = ones([2L]);
            _ = made + ones([3L]);
        };

        fails.Should().Throw<System.Runtime.InteropServices.ExternalException>();
        made!.IsInvalid.Should().BeTrue();
        CurrentDisposeScope.Should().BeNull();
    }

    [SkippableFact]
    public void A_scope_that_is_closed_twice_or_out_of_order_does_no_harm()
    {
        Skip.IfNot(TorchSource.IsSystem, "TorchSource=package: the package leaves this undefined");
        DisposeScope outer = NewDisposeScope();
        DisposeScope inner = NewDisposeScope();
        outer.Dispose();
        Tensor still = ones([2L]);
        inner.Contains(still).Should().BeTrue();
        inner.Dispose();
        inner.Dispose();

        CurrentDisposeScope.Should().BeNull();
        still.IsInvalid.Should().BeTrue();
        using Tensor alone = ones([2L]);
        outer.DisposablesCount.Should().Be(0);
    }

    private sealed class Part() : nn.Module(nameof(Part));
}

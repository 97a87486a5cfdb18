using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Tests.Meta.Gradients;

/// <summary>Gradients by <see cref="Autograd"/> against derivatives that are known, and what it leaves alone.</summary>
[Collection(NativeMemoryCollection.Name)]
public sealed class AutogradTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly Tensor _x = tensor(new[] { 1.0, 2, 3 }).requires_grad_();
    private readonly Tensor _unused = ones([2], float64, requires_grad: true);

    /// <inheritdoc/>
    public void Dispose() => _scope.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Several_outputs_are_weighted_and_what_reaches_none_has_no_gradient(bool createGraph)
    {
        IReadOnlyList<Tensor?> gradients = Autograd.Gradients(
            "y", [_x.pow(Held(2)), _x.pow(Held(3))], [tensor(new[] { 1.0, 0, 0 }), ones_like(_x)], [_x, _unused], createGraph: createGraph);

        gradients[0]!.data<double>().Should().Equal(2 + 3, 12, 27);
        gradients[0]!.requires_grad.Should().Be(createGraph);
        (gradients[1] is null).Should().BeTrue();
    }

    [Fact]
    public void A_gradient_with_a_graph_can_be_differentiated_again()
    {
        Tensor first = Autograd.Gradients("y", [_x.pow(Held(3)).sum()], null, [_x], createGraph: true)[0]!;

        Autograd.Gradients("its gradient", [first], [ones_like(first)], [_x])[0]!.data<double>().Should().Equal(6, 12, 18);
    }

    [Fact]
    public void A_graph_is_kept_for_another_time_where_that_is_asked_for()
    {
        Tensor y = _x.exp().sum();

        Autograd.Gradients("y", [y], null, [_x], retainGraph: true);
        Autograd.Gradients("y", [y], null, [_x])[0]!.data<double>()[0].Should().BeApproximately(Math.E, 1e-15);
        FluentActions.Invoking(() => Autograd.Gradients("y", [y], null, [_x])).Should().Throw<InvalidOperationException>()
            .WithMessage("the gradient of y cannot be computed: *second time*");
    }

    [Fact]
    public void The_gradients_that_a_user_collects_stay_what_they_are()
    {
        _x.pow(Held(2)).sum().backward();

        Autograd.Gradients("y", [_x.sum()], null, [_x])[0]!.data<double>().Should().Equal(1, 1, 1);
        FluentActions.Invoking(() => Autograd.Gradients("y", [_x.sum(), Overwritten()], null, [_x])).Should()
            .Throw<InvalidOperationException>();

        _x.grad!.data<double>().Should().Equal(2, 4, 6);
    }

    [Fact]
    public void Wrong_arguments_are_told_before_libtorch_sees_them()
    {
        Func<object> Of(Tensor output, Tensor? weight = null, Tensor? input = null)
            => () => Autograd.Gradients("y", [output], weight is null ? null : [weight], [input ?? _x]);

        FluentActions.Invoking(Of(_x.detach().sum())).Should().Throw<InvalidOperationException>()
            .WithMessage("no trainable parameter affects y (shape [])*");
        FluentActions.Invoking(Of(_x.mul(Held(2)))).Should().Throw<ArgumentException>()
            .WithMessage("the shape of y is *3], but a scalar is needed*");
        FluentActions.Invoking(Of(_x.mul(Held(2)), ones(2))).Should().Throw<ArgumentException>()
            .WithMessage("the shape of y is *3], but its weights have the shape *2]*");
        FluentActions.Invoking(Of(_x.sum(), input: ones(1))).Should().Throw<ArgumentException>()
            .WithMessage("*input 0 (shape *1]), which does not have requires_grad set*");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_depends_on_none_of_the_inputs_has_no_gradient_by_any(bool createGraph)
        => (Autograd.Gradients("y", [_x.sum()], null, [_unused], createGraph: createGraph)[0] is null).Should().BeTrue();

    [Fact]
    public void No_input_and_one_input_twice_are_refused()
    {
        FluentActions.Invoking(() => Autograd.Gradients("y", [_x.sum()], null, [])).Should().Throw<ArgumentException>()
            .WithMessage("y cannot be differentiated with respect to nothing*");
        FluentActions.Invoking(() => Autograd.Gradients("y", [_x.sum()], null, [_x, _x])).Should().Throw<ArgumentException>()
            .WithMessage("y cannot be differentiated with respect to one input twice*");
        (_x.grad is null).Should().BeTrue();
    }

    [Fact]
    public void Threads_may_differentiate_by_the_same_input() => Parallel.For(0, 4, _ =>
    {
        using DisposeScope scope = NewDisposeScope();
        for (int k = 0; k < 50; k++)
        {
            Autograd.Gradients("y", [_x.pow(Held(2)).sum()], null, [_x])[0]!.data<double>().Should().Equal(2, 4, 6);
        }
    });

    [Fact]
    public void No_tensor_is_left_behind_nor_memory_of_a_graph_of_second_order()
    {
        Step();
        NativeMemoryCollection.Settle();
        long before = Tensor.TotalCount, resident = Environment.WorkingSet;
        for (int k = 0; k < 60; k++)
        {
            Step();
        }

        Tensor.TotalCount.Should().Be(before);
        (Environment.WorkingSet - resident).Should()
            .BeLessThan(40L << 20, "a leak would hold some 60 graphs with several matrices of 512 KiB each");

        void Step()
        {
            using DisposeScope scope = NewDisposeScope();
            Tensor x = randn([256, 256], float64).requires_grad_();
            Tensor first = Autograd.Gradients("y", [x.matmul(x).tanh().sum()], null, [x, _unused], createGraph: true)[0]!;
            Autograd.Gradients("its square", [first.pow(Held(2)).sum()], null, [x])[0]!.shape.Should().Equal(256, 256);
            FluentActions.Invoking(() => Autograd.Gradients("y", [Overwritten()], null, [_x])).Should().Throw<InvalidOperationException>();
        }
    }

    private Tensor Overwritten()
    {
        Tensor y = _x.exp();
        y.mul_(Held(2));
        return y.sum();
    }
}

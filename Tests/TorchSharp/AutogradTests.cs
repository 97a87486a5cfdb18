using FsCheck;
using FsCheck.Fluent;

namespace Imta.MetaWeight.Tests.TorchSharp;

public sealed class AutogradTests
{
    [Fact]
    public void The_gradient_of_a_cube_is_three_squares()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = Leaf(1, 2, -3);

        Values(autograd.grad([x.pow(3).sum()], [x])[0]).Should().Equal(3, 12, 27);
    }

    [Fact]
    public void Created_graphs_are_differentiated_again_and_again()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = Leaf(2, -1);
        Tensor first = autograd.grad([x.pow(4).sum()], [x], retain_graph: true, create_graph: true)[0];
        Tensor second = autograd.grad([first.sum()], [x], retain_graph: true, create_graph: true)[0];
        Tensor third = autograd.grad([second.sum()], [x])[0];

        Values(first).Should().Equal(32, -4);
        Values(second).Should().Equal(48, 12);
        Values(third).Should().Equal(48, -24);
        first.requires_grad.Should().BeTrue();
        third.requires_grad.Should().BeFalse();
    }

    [Fact]
    public void A_convolution_with_batch_norm_is_differentiated_twice()
    {
        using DisposeScope scope = NewDisposeScope();
        using Generator random = new(3);
        Tensor x = randn([2, 2, 5, 5], ScalarType.Float64, generator: random);
        Tensor weight = randn([3, 2, 3, 3], ScalarType.Float64, generator: random).requires_grad_();
        Tensor direction = randn([3, 2, 3, 3], ScalarType.Float64, generator: random);
        Tensor Slope(Tensor at)
        {
            Tensor y = nn.functional.batch_norm(nn.functional.conv2d(x, at), null!, null!, training: true).relu().pow(2).sum();
            return (autograd.grad([y], [at], retain_graph: true, create_graph: true)[0] * direction).sum();
        }

        Tensor curvature = autograd.grad([Slope(weight)], [weight])[0];

        const double Step = 1e-6;
        Tensor ahead = (weight.detach() + (direction * Step)).requires_grad_();
        Tensor behind = (weight.detach() - (direction * Step)).requires_grad_();
        double difference = (Slope(ahead) - Slope(behind)).item<double>() / (2 * Step);
        (curvature * direction).sum().item<double>().Should().BeApproximately(difference, 1e-6 * Math.Abs(difference));
    }

    [Fact]
    public void Outputs_are_weighted()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = Leaf(1, 2);
        Tensor weights = tensor(new[] { 10.0, 100.0 });

        Values(autograd.grad([x * x], [x], [weights])[0]).Should().Equal(20, 400);
        Values(autograd.grad([x.sum(), (x * x).sum()], [x])[0]).Should().Equal(3, 5);
    }

    [Fact]
    public void An_input_without_influence_is_an_error_or_null()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = Leaf(1), unused = Leaf(1);
        Tensor y = x * 2;
        Action strict = () => autograd.grad([y], [x, unused], retain_graph: true);

        strict.Should().Throw<System.Runtime.InteropServices.ExternalException>().WithMessage("*not have been used in the graph*");
        IList<Tensor> gradients = autograd.grad([y], [x, unused], allow_unused: true);
        Values(gradients[0]).Should().Equal(2);
        (gradients[1] is null).Should().BeTrue();
    }

    [Fact]
    public void Backward_adds_to_the_leaves()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = Leaf(1, 2);
        (x.grad is null).Should().BeTrue();
        (x * x).sum().backward();
        (x * x).sum().backward();

        Values(x.grad!).Should().Equal(4, 8);
        x.grad = null!;
        (x.grad is null).Should().BeTrue();
        x.grad = tensor(new[] { 5.0, 6.0 });
        Values(x.grad!).Should().Equal(5, 6);
    }

    [Fact]
    public void Recording_is_switched_off_and_on_as_scopes_nest()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = Leaf(1);
        is_grad_enabled().Should().BeTrue();
        using (no_grad())
        {
            is_grad_enabled().Should().BeFalse();
            (x * 2).requires_grad.Should().BeFalse();
            using (enable_grad())
            {
                (x * 2).requires_grad.Should().BeTrue();
                using (no_grad())
                {
                    is_grad_enabled().Should().BeFalse();
                }

                is_grad_enabled().Should().BeTrue();
            }

            is_grad_enabled().Should().BeFalse();
        }

        is_grad_enabled().Should().BeTrue();
        (x * 2).requires_grad.Should().BeTrue();
        (x * 2).is_leaf.Should().BeFalse();
        x.is_leaf.Should().BeTrue();
        x.detach().requires_grad.Should().BeFalse();
    }

    [Fact]
    public void Each_thread_records_for_itself()
    {
        // No await: what comes behind it may run on another thread, and this one would stay without recording.
        using (no_grad())
        {
            bool there = false;
            var other = new Thread(() => there = is_grad_enabled());
            other.Start();
            other.Join();
            there.Should().BeTrue();
        }
    }

    [Fact]
    public void The_gradient_is_the_limit_of_differences() => Prop.ForAll(Gen.Choose(-20, 20).Select(value => value / 10.0).ArrayOf(3).ToArbitrary(), point =>
    {
        using DisposeScope scope = NewDisposeScope();
        static Tensor Function(Tensor x) => ((x.tanh() * x).exp() + x.softmax(0).log()).sum();
        Tensor at = Leaf(point);
        double[] gradient = Values(autograd.grad([Function(at)], [at])[0]);
        return Enumerable.Range(0, 3).All(k =>
        {
            double Shifted(double step) => Function(tensor([.. point.Select((value, j) => j == k ? value + step : value)])).item<double>();
            double difference = (Shifted(1e-5) - Shifted(-1e-5)) / 2e-5;
            return Math.Abs(difference - gradient[k]) < 1e-7 * Math.Max(1, Math.Abs(difference));
        });
    }).QuickCheckThrowOnFailure();

    private static Tensor Leaf(params double[] values) => tensor(values, requires_grad: true);

    private static double[] Values(Tensor tensor) => tensor.data<double>().ToArray();
}

using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Tests.TorchSharp;

/// <summary>What libtorch refuses is an exception with libtorch's own words, and the process goes on.</summary>
public sealed class TensorErrorTests
{
    [Fact]
    public void Shapes_that_do_not_fit()
        => Refused(() => ones([3L]) + ones([4L]), "*size of tensor a (3) must match the size of tensor b (4)*");

    [Fact]
    public void Shapes_that_do_not_multiply()
        => Refused(() => ones([2, 3]).matmul(ones([2, 3])), "*shapes cannot be multiplied (2x3 and 2x3)*");

    [Fact]
    public void A_dimension_that_is_not_there() => Refused(() => ones([3L]).sum(1), "*Dimension out of range*");

    [Fact]
    public void An_index_that_is_not_there() => Refused(() => ones([3L]).index_select(0, tensor(new[] { 3L })), "*out of range*");

    [Fact]
    public void A_label_that_is_no_class()
        => Refused(() => nn.functional.cross_entropy(zeros([2, 3]), tensor(new[] { 0L, 3 })), "*3 is out of bounds*");

    [Fact]
    public void A_view_that_is_none() => Refused(() => ones([2, 3]).t().view(6), "*view size is not compatible*");

    [Fact]
    public void A_view_beyond_the_memory() => Refused(() => ones([4L]).as_strided([2, 2], [1000, 1]), "*out of bounds*");

    [Fact]
    public void More_memory_than_there_is() => Refused(() => empty([1_000_000_000_000_000]), "*allocate*4000000000000000*");

    [Fact]
    public void Sizes_whose_product_is_no_number() => Refused(() => empty([1L << 62, 1L << 62]), "*overflow*");

    [Fact]
    public void A_negative_size() => Refused(() => empty([-1]), "*negative dimension -1*");

    [Fact]
    public void A_convolution_of_the_wrong_channels()
        => Refused(() => nn.functional.conv2d(ones([1, 3, 8, 8]), ones([4, 2, 3, 3])), "*to have 2 channels, but got 3 channels*");

    [Fact]
    public void Gradients_of_integers()
        => Refused(() => ones([2L], ScalarType.Int64, requires_grad: true), "*Tensors of floating point*require gradients*");

    [Fact]
    public void Gradients_of_more_than_a_number()
        => Refused(() => ones([2L], requires_grad: true).backward(), "*implicitly created only for scalar outputs*");

    [Fact]
    public void A_leaf_that_is_changed_in_place()
        => Refused(() => ones([2L], requires_grad: true).add_(1), "*leaf Variable that requires grad*in-place*");

    [Fact]
    public void A_value_that_backward_needs_but_was_overwritten() => Refused(
        () =>
        {
            Tensor x = ones([2L], requires_grad: true);
            Tensor y = x.exp();
            y.mul_(2);
            y.sum().backward();
        },
        "*modified by an inplace operation*");

    [Fact]
    public void A_graph_that_was_given_up() => Refused(
        () =>
        {
            Tensor x = ones([2L], requires_grad: true);
            Tensor y = (x * x).sum();
            y.backward();
            y.backward();
        },
        "*backward through the graph a second time*");

    [SkippableFact]
    public void A_device_that_is_not_there()
    {
        Skip.If(cuda.is_available(), "this machine has a CUDA device");
        Refused(() => ones([2L]).to(device("cuda")), "*CUDA*");
        Refused(() => ones([2L], device: device("cuda:3")), "*CUDA*");
        Refused(() => cuda.synchronize(), "*CUDA*");
    }

    [Fact]
    public void A_tensor_without_elements_has_no_largest() => Refused(() => ones([0L]).max(), "*max*");

    [Fact]
    public void Errors_in_a_row_leave_the_process_as_it_was()
    {
        using Tensor two = ones([2L]);
        using Tensor three = ones([3L]);
        for (int k = 0; k < 50; k++)
        {
            two.Invoking(tensor => tensor.add(three)).Should().Throw<ExternalException>();
        }

        StillWorks();
    }

    private static void Refused(Action action, string message)
    {
        using DisposeScope scope = NewDisposeScope();
        action.Should().Throw<Exception>().Which.Should().Match<Exception>(e => e is ExternalException || !TorchSource.IsSystem)
            .And.Subject.As<Exception>().Message.Should().Match(message);
        StillWorks();
    }

    private static void Refused(Func<Tensor> action, string message) => Refused(() => { action(); }, message);

    private static void StillWorks()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = ones([2L], requires_grad: true);
        Tensor y = (x * 3).sum();
        y.item<float>().Should().Be(6);
        autograd.grad([y], [x])[0].data<float>().ToArray().Should().Equal(3, 3);
    }
}

using System.Runtime.InteropServices;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Evaluation;

namespace Imta.MetaWeight.Tests.Backbones.Kernels;

/// <summary>Calls of libtorch's dispatcher; nothing runs beside them, since they count what lives.</summary>
[Collection(NativeMemoryCollection.Name)]
public sealed class OperatorTests
{
    private const int Calls = 100;
    private const long Slack = 100L << 20; // bytes; a handle kept in each call would be 4 times that

    [Fact]
    public void A_failing_call_names_operator_shapes_and_types_in_one_line()
    {
        using DisposeScope scope = NewDisposeScope();
        var op = new Operator("aten::avg_pool2d_backward", results: 1, optional: 7);

        Tensor g = ones(1, 2, 3, 4), input = ones([5, 6L], ScalarType.Float64);
        long[] square = [2, 2];

        Action call = () => op.Invoke(g, input, square, square, new long[] { 0, 0 }, false, true, null);

        call.Should().Throw<ExternalException>()
            .WithMessage("aten::avg_pool2d_backward(Float32 [1, 2, 3, 4] on cpu, Float64 [5, 6] on cpu, [2, 2], *none) failed*")
            .Which.Message.Should().NotContain("\n");
    }

    [Fact]
    public void An_operator_that_libtorch_does_not_have()
        => FluentActions.Invoking(() => new Operator("aten::no_such_operator", results: 1).Invoke(1L)).Should()
            .Throw<ExternalException>().WithMessage("aten::no_such_operator(*");

    [Fact]
    public void A_disposed_tensor_is_refused_before_anything_is_passed()
    {
        Tensor x = ones(2), gone = ones(2);
        gone.Dispose();

        FluentActions.Invoking(() => new Operator("aten::mul", results: 1).Invoke(x, gone)).Should()
            .Throw<ArgumentException>().WithMessage("aten::mul: argument 1 is a disposed tensor*");

        x.Dispose();
    }

    [Fact]
    public void What_is_passed_is_freed_and_what_comes_back_belongs_to_the_scope()
    {
        NativeMemoryCollection.Settle();
        long before = Tensor.TotalCount;
        Unchanged(() =>
        {
            using DisposeScope scope = NewDisposeScope();
            Tensor image = ones(1, 1, 1024, 1024), weight = ones(1, 1, 1, 1);
            (Tensor? byInput, Tensor byWeight, Tensor? byBias)
                = MissingOperators.ConvolutionBackward(image, image, weight, [1, 1], [0, 0], byInput: true, byBias: true);
            _ = MissingOperators.NativeBatchNormBackward(image, image, null, byWeight.view(1), byBias!, 1e-5, byParameters: true);
            byInput!.shape.Should().Equal(image.shape);
        });
        Tensor.TotalCount.Should().Be(before);
    }

    [Fact]
    public void What_is_passed_to_a_call_that_fails_is_freed_too() => Unchanged(() =>
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor image = ones(1, 1, 1024, 1024), other = ones(1, 2, 1024, 512);
        Fails(() => MissingOperators.MaxPool2dWithIndicesBackward(image, other, [2, 2], [2, 2], [0, 0], other));
        Fails(() => MissingOperators.UpsampleBilinear2dBackward(image, [2, 2, 2, 2]));
        Fails(() => MissingOperators.ConvolutionBackward(image, other, other, [1, 1], [0, 0], true, true));

        static void Fails(Action call) => call.Should().Throw<ExternalException>();
    });

    /// <summary>Runs it many times and looks at the process's memory.</summary>
    private static void Unchanged(Action call)
    {
        call();
        NativeMemoryCollection.Settle();
        long before = ResidentBytes();
        for (int k = 0; k < Calls; k++)
        {
            call();
        }

        NativeMemoryCollection.Settle();
        (ResidentBytes() - before).Should().BeLessThan(Slack);
    }

    private static long ResidentBytes()
    {
        using var process = System.Diagnostics.Process.GetCurrentProcess();
        return process.WorkingSet64;
    }
}

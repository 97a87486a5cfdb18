using System.Runtime.InteropServices;
using Imta.MetaWeight.Native;

namespace Imta.MetaWeight.Tests.Native;

public sealed class TensorHandleTests : NativeTest
{
    private const int Double = (int)ScalarType.Float64;

    [SkippableFact]
    public void A_tensor_is_described()
    {
        nint view = Own(new Operator("aten::as_strided").Invoke(Arg(Vector(0, 1, 2, 3, 4, 5)), new long[] { 2, 2 }, new long[] { 1, 2 }, 1));
        TensorDescription description = TensorHandle.Describe(view);

        description.Dimensions.Should().Be(2);
        description.Elements.Should().Be(4);
        description.StorageOffset.Should().Be(1);
        description.ScalarType.Should().Be(Double);
        description.ElementSize.Should().Be(8);
        description.DeviceType.Should().Be(0);
        description.DeviceIndex.Should().Be(-1);
        description.RequiresGrad.Should().BeFalse();
        description.IsLeaf.Should().BeTrue();
        TensorHandle.Sizes(view).Should().Equal(2, 2);
        TensorHandle.Strides(view).Should().Equal(1, 2);
        TensorHandle.IsContiguous(view).Should().BeFalse();
    }

    [SkippableFact]
    public void Memory_is_copied()
    {
        byte[] memory = [1, 2, 3];
        nint tensor = Own(TensorHandle.FromMemory(memory, [3], (int)ScalarType.Byte, 1));
        memory[0] = 9;

        Marshal.ReadByte(TensorHandle.Data(tensor)).Should().Be(1);
    }

    [SkippableFact]
    public void A_tensor_without_elements_has_no_memory()
    {
        nint empty = Own(TensorHandle.FromMemory([], [3, 0], Double, 8));

        TensorHandle.Sizes(empty).Should().Equal(3, 0);
        TensorHandle.Data(empty).Should().Be(0);
    }

    [SkippableTheory]
    [InlineData(8, new long[] { 2 })]
    [InlineData(16, new long[] { -1, -2 })]
    [InlineData(0, new long[] { -1, 0 })]
    [InlineData(0, new[] { long.MaxValue, long.MaxValue, long.MaxValue })]
    [InlineData(8, new[] { 1L << 61, 1L << 61, 1L << 61 })]
    public void Memory_that_does_not_fill_the_shape_is_refused(int bytes, long[] shape)
        => FluentActions.Invoking(() => TensorHandle.FromMemory(new byte[bytes], shape, Double, 8)).Should().Throw<ArgumentException>();

    [SkippableTheory]
    [InlineData(-1, 8)]
    [InlineData(99, 8)]
    [InlineData(int.MaxValue, 8)]
    [InlineData((int)ScalarType.Float64, 4)]
    [InlineData((int)ScalarType.Byte, 8)]
    public void An_element_type_of_another_size_is_refused(int scalarType, int elementSize)
        => FluentActions.Invoking(() => TensorHandle.FromMemory(new byte[4 * elementSize], [4], scalarType, elementSize)).Should().Throw<ExternalException>();

    [SkippableFact]
    public void The_value_of_one_element_is_an_integer_or_a_real_number()
    {
        TensorHandle.Item(Vector(0.1)).Should().Be((true, 0, 0.1));
        nint whole = Own(new Operator("aten::full").Invoke(Array.Empty<long>(), long.MaxValue, (long)ScalarType.Int64));
        TensorHandle.Item(whole).Should().Be((false, long.MaxValue, 0));
        FluentActions.Invoking(() => TensorHandle.Item(Vector(1, 2)))
            .Should().Throw<ExternalException>().WithMessage("*Tensor with 2 elements cannot be converted to Scalar*");
        nint complex = Own(new Operator("aten::complex").Invoke(Arg(Vector(1)), Arg(Vector(1))));
        FluentActions.Invoking(() => TensorHandle.Item(complex)).Should().Throw<ExternalException>().WithMessage("*complex*");
    }

    [SkippableFact]
    public void The_null_handle_is_refused_wherever_a_tensor_is_needed()
    {
        Action[] uses =
        [
            () => TensorHandle.Describe(0),
            () => TensorHandle.Sizes(0),
            () => TensorHandle.Strides(0),
            () => TensorHandle.Data(0),
            () => TensorHandle.IsContiguous(0),
            () => TensorHandle.Item(0),
            () => TensorHandle.SetRequiresGrad(0, true),
            () => TensorHandle.Grad(0),
            () => TensorHandle.SetGrad(0, 0),
            () => TensorHandle.Share(0),
            () => TensorHandle.Gradients([0], null, [Vector(1)], false, false, false),
            () => TensorHandle.Gradients([Vector(1)], null, [0], false, false, false),
            () => TensorHandle.Backward([0], null, [], false, false),
            () => GeneratorHandle.Seed(0, 1),
            () => GeneratorHandle.InitialSeed(0),
        ];

        uses.Should().AllSatisfy(use => use.Should().Throw<ExternalException>().WithMessage("*undefined tensor*"));
        TensorHandle.Free(0);
        GeneratorHandle.Free(0);
    }

    [SkippableFact]
    public void As_many_weights_as_outputs()
    {
        nint x = Leaf();
        nint y = Own(new Operator("aten::exp").Invoke(Arg(x)));

        FluentActions.Invoking(() => TensorHandle.Gradients([y], [], [x], false, false, false))
            .Should().Throw<ArgumentException>().WithMessage("1 outputs take as many weights, not 0.*");
        FluentActions.Invoking(() => TensorHandle.Backward([y], [y, y], [], false, false)).Should().Throw<ArgumentException>();
        FluentActions.Invoking(() => TensorHandle.Gradients([y], [Vector(1, 2, 3)], [x], false, false, false))
            .Should().Throw<ExternalException>().WithMessage("*shape*");
    }

    [SkippableFact]
    public void A_shared_handle_is_the_same_tensor()
    {
        nint one = Vector(1);
        nint other = TensorHandle.Share(one);
        Own(new Operator("aten::add_", "Scalar").Invoke(Arg(one), 1));
        Values(other).Should().Equal(2);
        TensorHandle.Data(other).Should().Be(TensorHandle.Data(one));
        TensorHandle.Free(other);
        Values(one).Should().Equal(2);
    }

    [SkippableFact]
    public void Threads_do_not_disturb_each_other()
    {
        var add = new Operator("aten::add", "Tensor");
        Parallel.For(0, 8, new ParallelOptions { MaxDegreeOfParallelism = 8 }, worker =>
        {
            for (int k = 0; k < 200; k++)
            {
                double value = (worker * 1000) + k;
                nint x = New(value), bad = New(1, 2, 3), pair = New(1, 2);
                TensorHandle.SetRequiresGrad(x, true);
                nint y = add.Invoke(Argument.Tensor(x, this), Argument.Tensor(x, this));
                if (k % 20 == 0)
                {
                    // libtorch takes some milliseconds for an error.
                    FluentActions.Invoking(() => add.Invoke(Argument.Tensor(pair, this), Argument.Tensor(bad, this)))
                        .Should().Throw<ExternalException>().WithMessage("*(2)*(3)*");
                }

                nint[] parts = new Operator("aten::chunk").InvokeMany(Argument.Tensor(bad, this), 3);
                nint[] gradient = TensorHandle.Gradients([y], null, [x], false, false, false);
                Values(y).Should().Equal(2 * value);
                Values(gradient[0]).Should().Equal(2);
                Values(parts[2]).Should().Equal(3);
                Array.ForEach<nint>([x, bad, pair, y, gradient[0], .. parts], TensorHandle.Free);
            }
        });

        static nint New(params double[] values) => TensorHandle.FromMemory(MemoryMarshal.AsBytes<double>(values), [values.Length], Double, 8);
    }

    private nint Leaf()
    {
        nint x = Vector(1, 2);
        TensorHandle.SetRequiresGrad(x, true);
        return x;
    }
}

using System.Runtime.InteropServices;
using Imta.MetaWeight.Native;

namespace Imta.MetaWeight.Tests.Native;

public sealed class OperatorTests : NativeTest
{
    [SkippableFact]
    public void Arguments_that_are_left_out_take_the_schemas_defaults()
    {
        nint sum = Call("aten::add", "Tensor", Arg(Vector(1, 2)), Arg(Vector(10, 20)));
        nint weighted = Call("aten::add", "Tensor", Arg(Vector(1, 2)), Arg(Vector(10, 20)), 3);
        nint byDefault = Call("aten::add", "Tensor", Arg(Vector(1, 2)), Arg(Vector(10, 20)), Argument.Default);

        Values(sum).Should().Equal(11, 22);
        Values(weighted).Should().Equal(31, 62);
        Values(byDefault).Should().Equal(11, 22);
    }

    [SkippableFact]
    public void Every_kind_of_argument_arrives_as_what_the_schema_asks_for()
    {
        nint x = Vector(1, 2, 3, 4), grid = Call("aten::view", "", Arg(x), new long[] { 1, 1, 2, 2 });
        nint indices = Call("aten::argsort", "", Arg(Vector(1, 0)));

        Values(Call("aten::sum", "dim_IntList", Arg(grid), new long[] { 2, 3 }, true)).Should().Equal(10);
        Values(Call("aten::add", "Scalar", Arg(x), 0.5)).Should().Equal(1.5, 2.5, 3.5, 4.5);
        Values(Call("aten::add", "Scalar", Arg(x), 1)).Should().Equal(2, 3, 4, 5);
        Values(Call("aten::add", "Scalar", Arg(x), true)).Should().Equal(2, 3, 4, 5);
        Values(Call("aten::leaky_relu", "", Arg(Vector(-1, 1)), 2)).Should().Equal(-2, 1);
        Values(Call("aten::div", "Tensor_mode", Arg(x), Arg(Vector(2, 2, 2, 2)), "floor")).Should().Equal(0, 1, 1, 2);
        Values(Call("aten::cat", "", Argument.Tensors([x, x]))).Should().Equal(1, 2, 3, 4, 1, 2, 3, 4);
        Values(Call("aten::index", "Tensor", Arg(x), Argument.Tensors([indices]))).Should().Equal(2, 1);
        Values(Call("aten::index", "Tensor", Arg(grid), Argument.Tensors([0, 0, 0, indices]))).Should().Equal(2, 1, 4, 3);
        TensorHandle.Sizes(Call("aten::upsample_nearest2d", "vec", Arg(grid), Argument.None, new[] { 2.0, 3.0 })).Should().Equal(1, 1, 4, 6);
        TensorHandle.Sizes(Call("aten::empty", "memory_format", new long[] { 2, 0 }, Argument.None, Argument.None, Argument.Device(0, -1)))
            .Should().Equal(2, 0);
        TensorHandle.Sizes(Call("aten::view", "", Arg(Vector(1)), Array.Empty<long>())).Should().BeEmpty();
    }

    [SkippableFact]
    public void A_list_of_flags_masks_results()
    {
        nint[] gradients = new Operator("aten::convolution_backward").InvokeMany(
            Arg(Image()),
            Arg(Image()),
            Arg(Image()),
            Argument.None,
            new long[] { 1, 1 },
            new long[] { 0, 0 },
            new long[] { 1, 1 },
            false,
            new long[] { 0, 0 },
            1,
            Argument.Bools([1, 0, 0]));

        gradients.Should().HaveCount(3);
        Values(Own(gradients[0])).Should().Equal(1);
        gradients[1..].Should().Equal(0, 0);

        nint Image() => Call("aten::view", "", Arg(Vector(1)), new long[] { 1, 1, 1, 1 });
    }

    [SkippableTheory]
    [InlineData(1)]
    [InlineData(8)]
    [InlineData(9)]
    [InlineData(100)]
    public void All_results_come_back_however_many_they_are(int count)
    {
        nint[] parts = new Operator("aten::chunk").InvokeMany(Arg(Vector([.. Enumerable.Range(0, count).Select(k => (double)k)])), count);

        parts.Select(part => Values(Own(part)).Single()).Should().Equal(Enumerable.Range(0, count).Select(k => (double)k));
    }

    [SkippableFact]
    public void A_long_list_of_arguments_is_no_shorter_for_it()
    {
        nint[] many = [.. Enumerable.Range(0, 1000).Select(k => Vector(k))];

        Values(Call("aten::cat", "", Argument.Tensors(many))).Should().HaveCount(1000).And.BeInAscendingOrder();
    }

    [SkippableTheory]
    [InlineData("aten::no_such_operator", "")]
    [InlineData("aten::add", "NoSuchOverload")]
    [InlineData("no name at all", "")]
    [InlineData("", "")]
    public void An_operator_that_libtorch_does_not_have(string name, string overload)
        => Refused(() => new Operator(name, overload).Invoke(), "*" + name + "*");

    [SkippableFact]
    public void Too_many_arguments()
        => Refused(() => Call("aten::relu", "", Arg(Vector(1)), 1, 2), "aten::relu: takes at most 1 arguments, not 3");

    [SkippableFact]
    public void Too_few_arguments()
        => Refused(() => Call("aten::add", "Tensor", Arg(Vector(1))), "aten::add.Tensor: argument 1 (other: Tensor) cannot be left out");

    [SkippableFact]
    public void A_tensor_that_is_not_there() => Refused(() => Call("aten::add", "Tensor", Argument.None, Arg(Vector(1))), "*");

    [SkippableFact]
    public void An_undefined_tensor_among_others()
        => Refused(() => Call("aten::cat", "", Argument.Tensors([Vector(1), 0])), "*cannot be a list with an undefined tensor");

    [SkippableTheory]
    [InlineData(-1)]
    [InlineData(99)]
    [InlineData(long.MaxValue)]
    public void An_element_type_that_there_is_not(long type)
        => Refused(() => Call("aten::empty", "memory_format", new long[] { 1 }, type), $"*cannot be {type}, which is no element type");

    [SkippableTheory]
    [InlineData(-1, 0)]
    [InlineData(20, 0)]
    [InlineData(0, 1000)]
    [InlineData(0, -2)]
    public void A_device_that_there_cannot_be(int type, int index)
        => Refused(() => Call("aten::empty", "memory_format", new long[] { 1 }, Argument.None, Argument.None, Argument.Device(type, index)), "*");

    [SkippableFact]
    public void A_text_is_taken_whole_with_zeros_in_it()
        => Refused(() => Call("aten::div", "Tensor_mode", Arg(Vector(1)), Arg(Vector(1)), "floor\0 or so"), "*rounding_mode*");

    [SkippableFact]
    public void A_text_is_taken_whole_in_any_language()
        => Refused(() => Call("aten::div", "Tensor_mode", Arg(Vector(1)), Arg(Vector(1)), "aufgerundetes Größenmaß"), "*aufgerundetes Größenmaß*");

    [SkippableFact]
    public void A_call_that_wants_one_result_of_an_operator_with_many_is_refused()
    {
        Action few = () => Call("aten::max", "dim", Arg(Vector(1)), 0);
        Action many = () => Call("aten::chunk", "", Arg(Vector([.. new double[20]])), 20);

        few.Should().Throw<InvalidOperationException>().WithMessage("aten::max.dim has 2 results, not one.");
        many.Should().Throw<InvalidOperationException>().WithMessage("aten::chunk has 20 results, not one.");
    }

    [SkippableFact]
    public void An_operator_whose_result_is_no_tensor()
        => Refused(() => Call("aten::size", "int", Arg(Vector(1)), 0), "aten::size.int: a result is no tensor but Int");

    /// <summary>Any arguments, drawn by chance: a result, or a message, never a crash.</summary>
    [SkippableTheory]
    [InlineData("aten::add", "Tensor")]
    [InlineData("aten::add", "Scalar")]
    [InlineData("aten::sum", "dim_IntList")]
    [InlineData("aten::cat", "")]
    [InlineData("aten::index", "Tensor")]
    [InlineData("aten::upsample_nearest2d", "vec")]
    [InlineData("aten::empty", "memory_format")]
    [InlineData("aten::rand", "generator")]
    [InlineData("aten::div", "Tensor_mode")]
    [InlineData("aten::convolution", "")]
    [InlineData("aten::convolution_backward", "")]
    [InlineData("aten::batch_norm", "")]
    [InlineData("aten::native_batch_norm_backward", "")]
    [InlineData("aten::topk", "")]
    [InlineData("aten::to", "device")]
    [InlineData("aten::cross_entropy_loss", "")]
    [InlineData("aten::index_put_", "")]
    [InlineData("aten::einsum", "")]
    [InlineData("aten::clamp", "")]
    [InlineData("aten::normal_", "")]
    public void Any_kind_of_argument_anywhere_is_a_result_or_a_message(string name, string overload)
    {
        var op = new Operator(name, overload);
        var random = new Random(1);
        nint generator = GeneratorHandle.New(1);
        try
        {
            Argument[] kinds = Kinds(generator);
            for (int call = 0; call < 400; call++)
            {
                Argument[] arguments = [.. Enumerable.Range(0, random.Next(1, 12)).Select(_ => kinds[random.Next(kinds.Length)])];
                try
                {
                    Array.ForEach(op.InvokeMany(arguments), handle => Own(handle));
                }
                catch (ExternalException e)
                {
                    e.Message.Should().NotBeNullOrWhiteSpace();
                }
            }
        }
        finally
        {
            GeneratorHandle.Free(generator);
        }
    }

    [SkippableFact]
    public void Each_wrong_kind_of_argument_is_named()
    {
        nint generator = GeneratorHandle.New(1);
        try
        {
            Argument[] kinds = Kinds(generator);
            string[] names =
            [
                "an integer", "a real number", "a truth value", "a list of integers", "a list of real numbers", "a list of truth values",
                "a list of tensors", "a text", "a device", "a random generator",
            ];
            foreach ((Argument wrong, string called) in kinds[2..].Zip(names))
            {
                Refused(() => Call("aten::relu", "", wrong), $"aten::relu: argument 0 (self: Tensor) cannot be {called}");
            }

            Refused(() => Call("aten::cat", "", kinds[0]), "aten::cat: argument 0 (tensors: Tensor[]) cannot be a tensor");
            Refused(() => Call("aten::reshape", "", kinds[0], kinds[1]), "aten::reshape: argument 1 (shape: int[]) cannot be none");
        }
        finally
        {
            GeneratorHandle.Free(generator);
        }
    }

    private nint Call(string name, string overload, params Argument[] arguments) => Own(new Operator(name, overload).Invoke(arguments));

    private Argument[] Kinds(nint generator) =>
    [
        Arg(Vector(1, 2, 3)),
        Argument.None,
        2,
        0.5,
        true,
        new long[] { 1, 2 },
        new[] { 0.5, 2 },
        Argument.Bools([1, 0, 1]),
        Argument.Tensors([Vector(1), Vector(2)]),
        "floor",
        Argument.Device(0, -1),
        Argument.Generator(generator, this),
        Argument.Tensors([]),
        Argument.Tensors([0]),
        Array.Empty<long>(),
        -1,
        double.NaN,
        Argument.Default,
    ];

    private void Refused(Action call, string message)
    {
        call.Should().Throw<ExternalException>().WithMessage(message);
        Values(Call("aten::add", "Tensor", Arg(Vector(1)), Arg(Vector(1)))).Should().Equal(2);
    }
}

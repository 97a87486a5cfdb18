using FsCheck;
using FsCheck.Fluent;

namespace Imta.MetaWeight.Tests.TorchSharp;

/// <summary>Between arrays of .NET and tensors.</summary>
public sealed class TensorDataTests
{
    [Fact]
    public void Arrays_of_doubles_come_back_as_they_were() => Prop.ForAll<double[]>(values =>
    {
        using Tensor there = tensor(values);
        return there.dtype == ScalarType.Float64 && there.data<double>().ToArray().AsSpan().SequenceEqual(values);
    }).QuickCheckThrowOnFailure();

    [Fact]
    public void Arrays_of_floats_come_back_as_they_were() => Prop.ForAll<float[]>(values =>
    {
        using Tensor there = tensor(values);
        return there.dtype == ScalarType.Float32 && there.data<float>().ToArray().AsSpan().SequenceEqual(values);
    }).QuickCheckThrowOnFailure();

    [Fact]
    public void Arrays_of_integers_come_back_as_they_were() => Prop.ForAll<long[]>(values =>
    {
        using Tensor there = tensor(values);
        return there.dtype == ScalarType.Int64 && there.data<long>().ToArray().AsSpan().SequenceEqual(values);
    }).QuickCheckThrowOnFailure();

    [Fact]
    public void Arrays_of_bytes_come_back_as_they_were() => Prop.ForAll<byte[]>(values =>
    {
        using Tensor there = tensor(values);
        return there.dtype == ScalarType.Byte && there.data<byte>().ToArray().AsSpan().SequenceEqual(values);
    }).QuickCheckThrowOnFailure();

    [Fact]
    public void Every_element_type_can_be_converted_to_and_read()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor source = tensor(new[] { 0.0, 1, 100 });

        source.to_type(ScalarType.Byte).data<byte>().ToArray().Should().Equal(0, 1, 100);
        source.to_type(ScalarType.Int8).data<sbyte>().ToArray().Should().Equal(0, 1, 100);
        source.to_type(ScalarType.Int16).data<short>().ToArray().Should().Equal(0, 1, 100);
        source.to_type(ScalarType.Int32).data<int>().ToArray().Should().Equal(0, 1, 100);
        source.to_type(ScalarType.Int64).data<long>().ToArray().Should().Equal(0, 1, 100);
        source.to_type(ScalarType.Float32).data<float>().ToArray().Should().Equal(0, 1, 100);
        source.to_type(ScalarType.Float64).data<double>().ToArray().Should().Equal(0, 1, 100);
        source.to_type(ScalarType.Bool).data<bool>().ToArray().Should().Equal(false, true, true);
    }

    [Fact]
    public void The_wanted_element_type_is_converted_to_at_once()
    {
        using DisposeScope scope = NewDisposeScope();

        tensor(new[] { 1.5, 2.5 }, dtype: ScalarType.Int32).data<int>().ToArray().Should().Equal(1, 2);
        tensor(new byte[] { 0, 1, 2 }, [3], dtype: ScalarType.Float32).data<float>().ToArray().Should().Equal(0, 1, 2);
        tensor(1.5f).dtype.Should().Be(ScalarType.Float32);
        tensor(1.5).dtype.Should().Be(ScalarType.Float64);
        tensor(1L).dtype.Should().Be(ScalarType.Int64);
        zeros([1L]).dtype.Should().Be(ScalarType.Float32);
    }

    [Fact]
    public void A_single_element_is_read_as_its_own_type()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor one = tensor(new[] { 1.0 });

        one.to_type(ScalarType.Byte).item<byte>().Should().Be(1);
        one.to_type(ScalarType.Int8).item<sbyte>().Should().Be(1);
        one.to_type(ScalarType.Int16).item<short>().Should().Be(1);
        one.to_type(ScalarType.Int32).item<int>().Should().Be(1);
        tensor(long.MinValue + 1).item<long>().Should().Be(long.MinValue + 1);
        tensor(0.1f).item<float>().Should().Be(0.1f);
        tensor(0.1).item<double>().Should().Be(0.1);
        one.to_type(ScalarType.Bool).item<bool>().Should().BeTrue();
        tensor(double.NaN).item<double>().Should().Be(double.NaN);
        tensor(double.NegativeInfinity).to_type(ScalarType.Float32).item<float>().Should().Be(float.NegativeInfinity);
    }

    [Fact]
    public void Reading_as_another_type_is_refused()
    {
        using Tensor floats = ones([4L]);
        using Tensor one = ones([1L]);
        using Tensor truth = one.to_type(ScalarType.Bool);
        Action asIntegers = () => floats.data<int>();
        Action asDouble = () => one.item<double>();
        Action asByte = () => truth.data<byte>();

        asIntegers.Should().Throw<ArgumentException>().WithMessage("*Int32*Float32*");
        asDouble.Should().Throw<ArgumentException>().WithMessage("*Double*Float32*");
        asByte.Should().Throw<ArgumentException>().WithMessage("*Byte*Bool*");
    }

    [Fact]
    public void A_value_is_read_from_one_element_only()
    {
        using Tensor many = ones([4L]);
        using Tensor none = ones([0L]);
        Action fromMany = () => many.item<float>();
        Action fromNone = () => none.item<float>();

        fromMany.Should().Throw<ArgumentException>().WithMessage("*must be 1*");
        fromNone.Should().Throw<ArgumentException>().WithMessage("*must be 1*");
    }

    [Fact]
    public void An_array_has_to_fill_the_shape()
    {
        Action tooFew = () => tensor(new float[5], [2, 3]);
        Action negative = () => tensor(new float[6], [-2, -3]);
        Action huge = () => tensor(Array.Empty<float>(), [long.MaxValue, long.MaxValue]);

        tooFew.Should().Throw<ArgumentException>().WithMessage("*[2, 3]*24 bytes*20*");
        negative.Should().Throw<ArgumentException>().WithMessage("*[-2, -3]*");
        huge.Should().Throw<ArgumentException>();
    }

    [Fact]
    public void Views_are_read_row_by_row_whatever_their_strides() => Prop.ForAll(Shapes(3), shape =>
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor cube = arange(shape[0] * shape[1] * shape[2], dtype: ScalarType.Int64).view(shape);
        long[] expected =
        [
            .. from k in Range(shape[2]) from i in Range(shape[0]) from j in Range(shape[1])
               select (((i * shape[1]) + j) * shape[2]) + k,
        ];
        return cube.permute(2, 0, 1).data<long>().ToArray().SequenceEqual(expected)
            && cube.transpose(1, 2).select(2, 0).data<long>().ToArray()
                .SequenceEqual(from i in Range(shape[0]) from k in Range(shape[2]) select (i * shape[1] * shape[2]) + k);
    }).QuickCheckThrowOnFailure();

    [Fact]
    public void Slices_broadcasts_and_flips_are_read_as_they_look()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor numbers = arange(10, dtype: ScalarType.Int64);

        numbers.slice(0, 1, 9, 3).data<long>().ToArray().Should().Equal(1, 4, 7);
        numbers.as_strided([2, 3], [1, 2], 1).data<long>().ToArray().Should().Equal(1, 3, 5, 2, 4, 6);
        numbers.narrow(0, 4, 1).expand(3).data<long>().ToArray().Should().Equal(4, 4, 4);
        numbers.flip(0).data<long>().First().Should().Be(9);
        numbers.narrow(0, 2, 0).data<long>().ToArray().Should().BeEmpty();
        tensor(7L).data<long>().ToArray().Should().Equal(7);
        numbers.view(2, 5).t().stride().Should().Equal(1, 5);
        numbers.narrow(0, 3, 2).storage_offset().Should().Be(3);
        numbers.data<long>().Count.Should().Be(10);
    }

    [Fact]
    public void Bytes_are_the_tensors_own_memory()
    {
        using Tensor numbers = zeros([2L], ScalarType.Int32);
        numbers.bytes[4] = 3;
        numbers.data<int>().ToArray().Should().Equal(0, 3);

        numbers.bytes = new byte[] { 1, 0, 0, 0, 0, 1, 0, 0 };
        numbers.data<int>().ToArray().Should().Equal(1, 256);
    }

    [Fact]
    public void Bytes_of_another_number_or_of_a_view_with_gaps_are_refused()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor square = zeros([3, 3], ScalarType.Float64);
        Action tooFew = () => square.bytes = new byte[71];
        Action withGaps = () => _ = square.t().bytes.Length;

        tooFew.Should().Throw<ArgumentException>().WithMessage("*72*71*");
        withGaps.Should().Throw<Exception>().Which.Should().Match(e => e is InvalidOperationException || e is NotImplementedException);
        zeros([0L]).bytes.Length.Should().Be(0);
    }

    [Fact]
    public void A_disposed_tensor_says_so_wherever_it_is_used()
    {
        Tensor gone = ones([2L]);
        using Tensor alive = ones([2L]);
        gone.Dispose();
        Action[] uses =
        [
            () => _ = gone.shape, () => _ = gone.dtype, () => gone.add(alive), () => alive.add(gone), () => gone.data<float>(),
            () => gone.item<float>(), () => gone.requires_grad_(), () => gone.backward(), () => _ = gone.grad, () => cat([alive, gone]),
            () => gone.clone(), () => _ = gone.bytes.Length, () => autograd.grad([alive], [gone]), () => gone.zero_(), () => gone.detach(),
        ];

        uses.Should().AllSatisfy(use => use.Should().Throw<InvalidOperationException>());
        alive.sum().item<float>().Should().Be(2);
    }

    private static Arbitrary<long[]> Shapes(int dimensions)
        => Gen.Choose(1, 5).Select(size => (long)size).ArrayOf(dimensions).ToArbitrary();

    private static IEnumerable<long> Range(long count) => Enumerable.Range(0, (int)count).Select(k => (long)k);
}

using FsCheck;
using FsCheck.Fluent;

namespace Imta.MetaWeight.Tests.TorchSharp;

/// <summary>Operators against plain loops: that each binding calls the operator it names with its arguments in the right order.</summary>
public sealed class TensorOperatorTests
{
    [Fact]
    public void Arithmetic_broadcasts_as_plain_loops_do() => Prop.ForAll(Sizes().ToArbitrary(), size =>
    {
        using DisposeScope scope = NewDisposeScope();
        (int rows, int columns) = size;
        double[] a = Numbers(rows * columns, 1), b = Numbers(columns, 2);
        Tensor x = tensor(a, [rows, columns]), y = tensor(b, [columns]);

        bool Same(Tensor result, Func<double, double, double> function) => Values(result)
            .SequenceEqual(Enumerable.Range(0, rows * columns).Select(k => function(a[k], b[k % columns])));
        return Same(x + y, (p, q) => p + q) && Same(x - y, (p, q) => p - q) && Same(x * y, (p, q) => p * q) && Same(x / y, (p, q) => p / q)
            && Same(y - x, (p, q) => q - p) && Same(x.add(y, 2), (p, q) => p + (2 * q)) && Same(where(x.gt(y), x, y), Math.Max);
    }).QuickCheckThrowOnFailure();

    [Fact]
    public void Numbers_stand_on_both_sides_of_operators()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = tensor(new[] { 1.0, 4 });

        Values(x + 2).Should().Equal(3, 6);
        Values(2 + x).Should().Equal(3, 6);
        Values(x - 2.5).Should().Equal(-1.5, 1.5);
        Values(2.5 - x).Should().Equal(1.5, -1.5);
        Values(10L - x).Should().Equal(9, 6);
        Values(x * 0.5f).Should().Equal(0.5, 2);
        Values(3L * x).Should().Equal(3, 12);
        Values(x / 2).Should().Equal(0.5, 2);
        Values(-x).Should().Equal(-1, -4);
        Values(x.pow(2)).Should().Equal(1, 16);
        Values(x.sqrt()).Should().Equal(1, 2);
        Values(x.clamp(2, 3)).Should().Equal(2, 3);
        Values(x.clamp(max: 3)).Should().Equal(1, 3);
    }

    [Fact]
    public void In_place_operators_change_the_tensor_itself()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = tensor(new[] { 1.0, 4 });
        Tensor y = tensor(new[] { 2.0, 3 });

        x.add_(y, alpha: 10);
        Values(x).Should().Equal(21, 34);
        x.mul_(0.5).add_(1);
        Values(x).Should().Equal(11.5, 18);
        x.addcdiv_(y, y, value: 2).addcmul_(y, y, value: -1);
        Values(x).Should().Equal(9.5, 11);
        x.copy_(y);
        Values(x).Should().Equal(2, 3);
        x.fill_(9).sqrt_();
        Values(x).Should().Equal(3, 3);
        x.zero_();
        Values(x).Should().Equal(0, 0);
    }

    [Fact]
    public void Comparisons_give_truth_values()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = tensor(new[] { 1.0, 2, 3 });
        Tensor y = tensor(new[] { 3.0, 2, 1 });

        x.lt(y).data<bool>().ToArray().Should().Equal(true, false, false);
        x.le(y).data<bool>().ToArray().Should().Equal(true, true, false);
        x.gt(2).data<bool>().ToArray().Should().Equal(false, false, true);
        x.ge(2).data<bool>().ToArray().Should().Equal(false, true, true);
        x.eq(y).data<bool>().ToArray().Should().Equal(false, true, false);
        x.ne(2).data<bool>().ToArray().Should().Equal(true, false, true);
        x.lt(3).logical_and(x.gt(1)).data<bool>().ToArray().Should().Equal(false, true, false);
        x.gt(0).all().item<bool>().Should().BeTrue();
        x.gt(3).any().item<bool>().Should().BeFalse();
        tensor(new[] { 1, double.NaN, double.PositiveInfinity }).isfinite().data<bool>().ToArray().Should().Equal(true, false, false);
    }

    [Fact]
    public void Sums_means_and_deviations_are_taken_over_the_dimensions_named() => Prop.ForAll(Sizes().ToArbitrary(), size =>
    {
        using DisposeScope scope = NewDisposeScope();
        (int rows, int columns) = size;
        double[][] a = [.. Numbers(rows * columns, 5).Chunk(columns)];
        Tensor x = tensor([.. a.SelectMany(row => row)], [rows, columns]);
        return Near(x.sum(1), a.Select(row => row.Sum())) && Near(x.mean([1]), a.Select(row => row.Average()))
            && Near(x.sum([0, 1]), [a.Sum(row => row.Sum())]) && Near(x.mean(), [a.Average(row => row.Average())])
            && Near(x.cumsum(1).select(1, columns - 1), a.Select(row => row.Sum()))
            && (columns == 1 || Near(x.std([1L]), a.Select(row => Math.Sqrt(Squares(row) / (columns - 1)))))
            && Near(x.std([1L], unbiased: false), a.Select(row => Math.Sqrt(Squares(row) / columns)));

        static double Squares(double[] row) => row.Sum(value => Math.Pow(value - row.Average(), 2));
    }).QuickCheckThrowOnFailure();

    [Fact]
    public void A_stable_sort_leaves_equals_in_their_order() => Prop.ForAll<byte[], bool>((bytes, descending) =>
    {
        using DisposeScope scope = NewDisposeScope();
        long[] keys = [.. bytes.Select(value => value % 4L)];
        IEnumerable<(long Key, long Index)> indexed = keys.Select((key, index) => (key, (long)index));
        long[] expected = [.. indexed.OrderBy(entry => descending ? -entry.Key : entry.Key).Select(entry => entry.Index)];

        (Tensor values, Tensor indices) = tensor(keys).sort(0, descending, stable: true);

        return indices.data<long>().ToArray().SequenceEqual(expected)
            && values.data<long>().ToArray().SequenceEqual(expected.Select(index => keys[index]));
    }).QuickCheckThrowOnFailure();

    [Fact]
    public void The_largest_and_the_smallest_come_with_their_places()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = tensor(new[] { 3.0, 1, 2, 5, 4, 0 }, [2, 3]);

        (Tensor values, Tensor indices) = x.topk(2);
        Values(values).Should().Equal(3, 2, 5, 4);
        indices.data<long>().ToArray().Should().Equal(0, 2, 0, 1);
        Values(x.topk(1, dim: 0, largest: false).values).Should().Equal(3, 1, 0);
        (Tensor largest, Tensor where) = x.max(1);
        Values(largest).Should().Equal(3, 5);
        where.data<long>().ToArray().Should().Equal(0, 0);
        x.argmax(0).data<long>().ToArray().Should().Equal(1, 1, 0);
        x.max().item<double>().Should().Be(5);
        x.min().item<double>().Should().Be(0);
    }

    [Fact]
    public void Rows_are_gathered_selected_and_scattered()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = tensor(new[] { 1.0, 2, 3, 4, 5, 6 }, [3, 2]);

        Values(x.gather(1, tensor(new[] { 1L, 0, 1 }, [3, 1]))).Should().Equal(2, 3, 6);
        Values(x.index_select(0, tensor(new[] { 2L, 0 }))).Should().Equal(5, 6, 1, 2);
        Values(x.masked_select(x.gt(4))).Should().Equal(5, 6);
        Values(x.masked_fill(x.gt(4), 0)).Should().Equal(1, 2, 3, 4, 0, 0);
        Tensor places = tensor(new[] { 2L, 0 }, [2, 1]);
        Values(zeros([2L, 3L], ScalarType.Float64).scatter_(1, places, tensor(new[] { 7.0, 8 }, [2, 1]))).Should().Equal(0, 0, 7, 8, 0, 0);
        x.gt(4).nonzero().data<long>().ToArray().Should().Equal(2, 0, 2, 1);
        tensor(new[] { 1L, 0, 1, 3 }).bincount(null, minlength: 5).data<long>().ToArray().Should().Equal(1, 2, 0, 1, 0);
    }

    [Fact]
    public void Cut_and_joined_a_tensor_is_what_it_was() => Prop.ForAll(Sizes().ToArbitrary(), size =>
    {
        using DisposeScope scope = NewDisposeScope();
        (int rows, int columns) = size;
        double[] numbers = Numbers(rows * columns, 4);
        Tensor x = tensor(numbers, [rows, columns]);
        return Values(cat(x.chunk(3, 1), 1)).SequenceEqual(numbers)
            && Values(stack(Enumerable.Range(0, rows).Select(row => x.select(0, row)))).SequenceEqual(numbers)
            && Values(x.flip(0, 1).flip(1).flip(0)).SequenceEqual(numbers)
            && Values(x.unsqueeze(0).squeeze(0).flatten().reshape(rows, columns)).SequenceEqual(numbers)
            && x.repeat(2, 3).shape.SequenceEqual([2L * rows, 3L * columns]);
    }).QuickCheckThrowOnFailure();

    [Fact]
    public void Softmax_is_a_distribution_and_log_softmax_its_logarithm() => Prop.ForAll(Sizes().ToArbitrary(), size =>
    {
        using DisposeScope scope = NewDisposeScope();
        (int rows, int columns) = size;
        Tensor x = tensor(Numbers(rows * columns, 7), [rows, columns]);
        Tensor shares = x.softmax(1);
        return Near(shares.sum(1), Enumerable.Repeat(1.0, rows)) && Near(x.log_softmax(1).exp(), Values(shares))
            && Near(nn.functional.softmax(x, 1), Values(shares)) && Near(nn.functional.log_softmax(x, 1).exp(), Values(shares));
    }).QuickCheckThrowOnFailure();

    [Fact]
    public void Cross_entropy_is_the_logarithm_of_the_labels_share()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor logits = tensor(Numbers(6, 9), [2, 3]);
        Tensor labels = tensor(new[] { 2L, 0 });
        double[] each = Values(-logits.log_softmax(1).gather(1, labels.unsqueeze(1)));

        Near(nn.functional.cross_entropy(logits, labels, reduction: nn.Reduction.None), each).Should().BeTrue();
        Near(nn.functional.cross_entropy(logits, labels), [each.Average()]).Should().BeTrue();
        Near(nn.functional.cross_entropy(logits, labels, reduction: nn.Reduction.Sum), [each.Sum()]).Should().BeTrue();
        double[] smooth = Values(-logits.log_softmax(1).mean([1L]));
        Near(nn.functional.cross_entropy(logits, labels, label_smoothing: 0.1), [(0.9 * each.Average()) + (0.1 * smooth.Average())]).Should().BeTrue();
    }

    [Fact]
    public void Convolution_and_pooling_are_what_the_loops_say()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor image = arange(16, dtype: ScalarType.Float64).view(1, 1, 4, 4);
        Tensor kernel = tensor(new[] { 0.0, 1, 0, 0 }, [1, 1, 2, 2]);

        Values(nn.functional.conv2d(image, kernel, strides: [2, 2])).Should().Equal(1, 3, 9, 11);
        Values(nn.functional.conv2d(image, kernel, tensor(new[] { 0.5 }), strides: [3, 3], padding: [1, 1])).Should().Equal(0.5, 0.5, 8.5, 11.5);
        Values(nn.functional.max_pool2d(image, 2)).Should().Equal(5, 7, 13, 15);
        Values(nn.functional.avg_pool2d(image, 2)).Should().Equal(2.5, 4.5, 10.5, 12.5);
        Values(nn.functional.pad(tensor(new[] { 1.0, 2 }, [1, 2]), [1, 0, 0, 1], value: 9)).Should().Equal(9, 1, 2, 9, 9, 9);
        Values(nn.functional.linear(tensor(new[] { 1.0, 2 }, [1, 2]), tensor(new[] { 3.0, 4, 5, 6 }, [2, 2]), tensor(new[] { 0.5, 0 })))
            .Should().Equal(11.5, 17);
    }

    [Fact]
    public void Batch_norm_in_training_normalises_the_batch_and_moves_the_running_statistics()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = tensor(new[] { 1.0, 3 }, [2, 1, 1, 1]);
        Tensor mean = zeros([1L], ScalarType.Float64), variance = ones([1L], ScalarType.Float64);

        Near(nn.functional.batch_norm(x, mean, variance, training: true, momentum: 0.5, eps: 0), [-1, 1]).Should().BeTrue();
        Values(mean).Should().Equal(1);
        Values(variance).Should().Equal(1.5);
        Near(nn.functional.batch_norm(x, mean, variance, eps: 0.75), [0, 2 / 1.5]).Should().BeTrue();
        Values(mean).Should().Equal(1);
    }

    private static Gen<(int Rows, int Columns)> Sizes()
        => from rows in Gen.Choose(1, 5) from columns in Gen.Choose(1, 6) select (rows, columns);

    // Numbers of both signs, none of them zero and no two alike.
    private static double[] Numbers(int count, int seed)
        => [.. Enumerable.Range(0, count).Select(k => Math.Sin((k * 1.7) + seed) + (0.001 * k))];

    private static double[] Values(Tensor tensor) => tensor.data<double>().ToArray();

    private static bool Near(Tensor tensor, IEnumerable<double> expected)
        => Values(tensor).Zip(expected, (a, b) => Math.Abs(a - b) <= 1e-12 * Math.Max(1, Math.Abs(b))).All(near => near);
}

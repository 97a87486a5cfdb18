using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Tests.Experiments.Data;

public sealed class DataSplitsTests
{
    private static (long[] Taken, long[] Remaining) Balanced(long[] labels, int count, ulong seed = 1)
    {
        using var random = new Generator(seed);
        return Splits.Balanced(labels, count, random);
    }

    private static long[] Labels(params int[] perClass)
        => [.. perClass.SelectMany((count, label) => Enumerable.Repeat((long)label, count))];

    private static int[] Counts(long[] labels, long[] rows, int classes)
        => [.. Enumerable.Range(0, classes).Select(c => rows.Count(row => labels[row] == c))];

    [Theory]
    [InlineData(5000, 50_000, 10, 5000)]
    [InlineData(5000, 50_000, 100, 5000)]
    [InlineData(5000, 4000, 10, 400)]
    [InlineData(5000, 4000, 100, 400)]
    [InlineData(5000, 1000, 10, 100)]
    [InlineData(5000, 1060, 10, 110)]
    [InlineData(5000, 1040, 10, 100)]
    [InlineData(5000, 60_000, 10, 5000)]
    [InlineData(1, 50_000, 10, 10)]
    [InlineData(5000, 120, 100, 100)]
    [InlineData(int.MaxValue / 50_000, 50_000, 10, 42_950)]
    public void Validation_scales_with_the_images_used(int requested, int available, int classes, int held)
        => Splits.ValidationSize(new DataOptions { Validation = requested }, available, classes).Should().Be(held);

    [Theory]
    [InlineData(50_000, 50_000, 10)]
    [InlineData(int.MaxValue, 50_000, 10)]
    [InlineData(5000, 10, 10)]
    [InlineData(1, 3, 10)]
    public void A_validation_set_that_leaves_nothing_is_refused(int requested, int available, int classes)
    {
        FluentActions.Invoking(() => Splits.ValidationSize(new DataOptions { Validation = requested }, available, classes))
            .Should().Throw<UsageException>().Which.Message.Should()
            .Contain($"data.validation {requested}").And.Contain($"of {available} training images").And.NotContain("\n");
    }

    [Fact]
    public void Taking_splits_the_rows_in_two() => Prop.ForAll<byte[], int, ulong>((classes, count, seed) =>
    {
        long[] labels = [.. classes.Select(c => c % 7L)];
        int take = Math.Abs(count % (labels.Length + 1));
        var (taken, remaining) = Balanced(labels, take, seed);
        var all = Enumerable.Range(0, labels.Length).Select(row => (long)row);
        return taken.Length == take && taken.Concat(remaining).Order().SequenceEqual(all);
    }).Hold();

    [Fact]
    public void Classes_give_equally_unless_one_has_no_more() => Prop.ForAll<byte[], int, ulong>((classes, count, seed) =>
    {
        long[] labels = [.. classes.Select(c => c % 4L)];
        int take = Math.Abs(count % (labels.Length + 1));
        var (taken, remaining) = Balanced(labels, take, seed);
        var given = Counts(labels, taken, 4);
        var left = Counts(labels, remaining, 4);
        return Enumerable.Range(0, 4).All(c => left[c] == 0 || given[c] >= given.Max() - 1);
    }).Hold();

    [Fact]
    public void A_multiple_of_the_classes_is_exactly_balanced()
    {
        var labels = Labels(50, 50, 50, 50);
        Counts(labels, Balanced(labels, 40).Taken, 4).Should().Equal(10, 10, 10, 10);
    }

    [Fact]
    public void A_small_class_gives_all_and_the_others_more()
    {
        var labels = Labels(50, 3, 50);
        Counts(labels, Balanced(labels, 43).Taken, 3).Should().Equal(20, 3, 20);
    }

    [Fact]
    public void Chance_decides_and_the_seed_decides_chance()
    {
        var labels = Labels(100, 100);
        var first = Balanced(labels, 20, seed: 1).Taken;
        Balanced(labels, 20, seed: 1).Taken.Should().Equal(first);
        Balanced(labels, 20, seed: 2).Taken.Should().NotEqual(first);
        first.Should().BeInAscendingOrder();
    }

    [Fact]
    public void Which_class_gives_one_more_changes_with_the_seed()
    {
        var labels = Labels(10, 10, 10);
        Enumerable.Range(0, 20).Select(seed => labels[Balanced(labels, 1, (ulong)seed).Taken[0]]).Distinct().Should().HaveCount(3);
    }

    [Fact]
    public void More_than_there_is_cannot_be_taken()
        => FluentActions.Invoking(() => Balanced(Labels(2, 2), 5)).Should().Throw<ArgumentOutOfRangeException>();
}

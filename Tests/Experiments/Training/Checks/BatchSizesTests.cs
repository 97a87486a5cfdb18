using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Training.Checks;

namespace Imta.MetaWeight.Tests.Experiments.Training.Checks;

public sealed class BatchSizesTests
{
    private static readonly Gen<(int Images, int Batch)> Cases =
        from images in Gen.Choose(4, 400)
        from batch in Gen.Choose(4, 500)
        select (images, batch);

    [Fact]
    public void A_size_that_cuts_well_gives_every_half_of_every_batch_two_images_and_loses_none() => Prop.ForAll(Arb.From(Cases), c =>
    {
        using DisposeScope scope = NewDisposeScope();
        int batch = BatchSizes.Nearest(c.Images, c.Batch)!.Value;
        var plan = new BatchPlan(c.Images, batch, seed: 0);
        Tensor order = plan.Order(0);
        long[] sizes = [.. Enumerable.Range(0, plan.Batches).Select(i => plan.Rows(order, i).NumberOfElements)];

        sizes.Should().OnlyContain(size => size / 2 >= 2);
        sizes.Sum().Should().Be(c.Images);
        sizes.SkipLast(1).All(size => size % 2 == 0).Should().BeTrue();
    }).Hold();

    [Fact]
    public void The_nearest_is_not_farther_than_any_other() => Prop.ForAll(Arb.From(Cases), c =>
    {
        int nearest = BatchSizes.Nearest(c.Images, c.Batch)!.Value;

        Enumerable.Range(1, 502).Where(size => BatchSizes.DividesEvenly(c.Images, size))
            .Should().OnlyContain(size => Math.Abs(size - c.Batch) >= Math.Abs(nearest - c.Batch));
    }).Hold();

    [Fact]
    public void Nine_images_cut_well_all_at_once_only() => BatchSizes.Nearest(9, 7).Should().Be(10);

    [Theory]
    [InlineData(100, 10, 10)]
    [InlineData(102, 10, 8)] // 102 = 10 · 10 + 2
    [InlineData(104, 10, 10)] // a last batch of 4
    [InlineData(100, 11, 10)]
    public void The_largest_up_to_a_size(int images, int most, int expected) => BatchSizes.LargestUpTo(images, most).Should().Be(expected);

    [Fact]
    public void Three_images_cut_well_in_no_way() => BatchSizes.Nearest(3, 64).Should().BeNull();
}

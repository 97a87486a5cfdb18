using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Tests.Experiments.Data;

public sealed class DataBatchTests
{
    private static ImageSet Images(int count)
    {
        using var random = new Generator(5);
        return GeneratedImages.Make(count, 3, random);
    }

    private static long[][] Rows(BatchPlan plan, int epoch)
    {
        using var scope = NewDisposeScope();
        var order = plan.Order(epoch);
        return [.. Enumerable.Range(0, plan.Batches).Select(i => plan.Rows(order, i).data<long>().ToArray())];
    }

    private static List<(float[] Images, long[] Labels, long[] Rows)> Read(IEnumerable<Batch> batches)
    {
        var read = new List<(float[], long[], long[])>();
        foreach (var batch in batches)
        {
            using (batch)
            {
                read.Add((batch.Images.data<float>().ToArray(), batch.Labels.data<long>().ToArray(), batch.Rows.data<long>().ToArray()));
            }
        }

        return read;
    }

    [Theory]
    [InlineData(10, 4, new[] { 4, 4, 2 })]
    [InlineData(11, 4, new[] { 4, 4, 3 })]
    [InlineData(9, 4, new[] { 4, 4 })] // a single image has no two halves
    [InlineData(8, 4, new[] { 4, 4 })]
    [InlineData(3, 128, new[] { 3 })]
    public void The_last_batch_may_be_smaller_down_to_two_images(int images, int batch, int[] sizes)
        => Rows(new BatchPlan(images, batch, 0), 0).Select(rows => rows.Length).Should().Equal(sizes);

    [Fact]
    public void An_epoch_shows_each_image_once() => Prop.ForAll<int, int, int>((images, batch, epoch) =>
    {
        var plan = new BatchPlan(2 + Math.Abs(images % 300), 2 + Math.Abs(batch % 40), seed: 6);
        var rows = Rows(plan, epoch).SelectMany(r => r).ToArray();
        int left = plan.Images % plan.BatchSize == 1 ? 1 : 0;
        return rows.Length == plan.Images - left
            && rows.Distinct().Count() == rows.Length
            && rows.All(row => row >= 0 && row < plan.Images);
    }).Hold();

    [Fact]
    public void The_order_follows_from_seed_and_epoch_alone()
    {
        var first = Rows(new BatchPlan(100, 10, 7), 3);
        var plan = new BatchPlan(100, 10, 7);
        _ = Rows(plan, 0);

        Rows(plan, 3).SelectMany(r => r).Should().Equal(first.SelectMany(r => r));
        Rows(plan, 4).SelectMany(r => r).Should().NotEqual(first.SelectMany(r => r));
        Rows(new BatchPlan(100, 10, 8), 3).SelectMany(r => r).Should().NotEqual(first.SelectMany(r => r));
    }

    [Fact]
    public void One_image_is_no_training_set()
        => FluentActions.Invoking(() => new BatchPlan(1, 4, 0)).Should().Throw<ArgumentOutOfRangeException>();

    [Fact]
    public void Images_in_order_are_the_set_normalised()
    {
        using var set = Images(7);
        var batches = Read(new BatchSource(set, Normalisation.Generated).InOrder(3));

        batches.Select(b => b.Rows.Length).Should().Equal(3, 3, 1);
        batches.SelectMany(b => b.Rows).Should().Equal(0, 1, 2, 3, 4, 5, 6);
        batches.SelectMany(b => b.Labels).Should().Equal(set.Labels.data<long>().ToArray());
        batches.SelectMany(b => b.Images).Should().Equal(set.Images.data<byte>().ToArray().Select(b => ((b / 255f) - 0.5f) / 0.25f));
    }

    [Fact]
    public void Without_augmentation_a_training_batch_is_its_rows_normalised()
    {
        using var set = Images(9);
        float[] all = [.. set.Images.data<byte>().ToArray().Select(b => ((b / 255f) - 0.5f) / 0.25f)];
        long[] labels = set.Labels.data<long>().ToArray();
        foreach (var batch in Read(new BatchSource(set, Normalisation.Generated).Training(new BatchPlan(9, 4, 1), 0, augment: false)))
        {
            batch.Images.Should().Equal(batch.Rows.SelectMany(row => all.Skip((int)row * 3072).Take(3072)));
            batch.Labels.Should().Equal(batch.Rows.Select(row => labels[row]));
        }
    }

    [Fact]
    public void An_epoch_is_the_same_whenever_it_is_made()
    {
        using var set = Images(20);
        var source = new BatchSource(set, Normalisation.Generated);
        var plan = new BatchPlan(20, 6, 2);
        var first = Read(source.Training(plan, 1, augment: true));
        _ = Read(source.Training(plan, 0, augment: true));
        var again = Read(source.Training(plan, 1, augment: true));

        first.Should().HaveCount(4);
        for (int i = 0; i < 4; i++)
        {
            again[i].Rows.Should().Equal(first[i].Rows);
            again[i].Images.AsSpan().SequenceEqual(first[i].Images).Should().BeTrue();
        }
    }

    [Fact]
    public void An_image_is_cut_differently_in_another_epoch()
    {
        using var set = Images(20);
        var source = new BatchSource(set, Normalisation.Generated);
        var plan = new BatchPlan(20, 20, 2);
        var cuts = Enumerable.Range(0, 2).Select(epoch =>
        {
            var batch = Read(source.Training(plan, epoch, augment: true)).Single();
            return batch.Images.Chunk(3072).Zip(batch.Rows).OrderBy(pair => pair.Second).Select(pair => pair.First).ToArray();
        }).ToArray();
        Enumerable.Range(0, 20).Count(row => cuts[0][row].SequenceEqual(cuts[1][row])).Should().BeLessThan(5);
    }

    [Fact]
    public void A_plan_for_other_images_is_refused()
    {
        using var set = Images(5);
        FluentActions.Invoking(() => new BatchSource(set, Normalisation.Generated).Training(new BatchPlan(6, 2, 0), 0, augment: false))
            .Should().Throw<ArgumentException>().WithMessage("*6 images*5*");
    }

    [Fact]
    public void A_batch_in_another_element_type_keeps_it()
    {
        using var set = Images(4);
        using var batch = new BatchSource(set, Normalisation.Generated, type: ScalarType.Float64).InOrder(4).Single();
        batch.Images.dtype.Should().Be(ScalarType.Float64);
        batch.Images.shape.Should().Equal(4, 3, 32, 32);
    }

    [Fact]
    public void Batches_survive_the_scopes_of_the_loop_and_leave_nothing_behind()
    {
        using var set = Images(12);
        var source = new BatchSource(set, Normalisation.Generated);
        using var outer = NewDisposeScope();
        foreach (var batch in source.Training(new BatchPlan(12, 4, 0), 0, augment: true).Concat(source.InOrder(5)))
        {
            using (batch)
            using (NewDisposeScope())
            {
                outer.DisposablesCount.Should().Be(3, "a batch is three tensors");
                _ = batch.Images.sum();
            }
        }

        outer.DisposablesCount.Should().Be(0);
        set.Images.IsInvalid.Should().BeFalse();
    }
}

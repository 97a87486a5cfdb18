using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Tests.Experiments.Data.Pictures;

/// <summary>Batches of pictures in files, as training takes them.</summary>
[Collection(NativeMemoryCollection.Name)]
public sealed class PictureSetTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly RunData _data;

    public PictureSetTests()
    {
        ImageNetFolder.Make(_folder.Path, copies: 3);
        _data = DataSets.Load(
            new Settings { Data = new DataOptions { Dataset = DatasetKind.Imagenet, Classes = 4, Validation = 200_000, Workers = 2 } },
            _folder.Path);
    }

    public void Dispose()
    {
        _data?.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void The_sets_are_balanced_share_no_file_and_know_their_classes()
    {
        (_data.Train.Count, _data.Validation.Count, _data.Test.Count, _data.Classes).Should().Be((20, 4, 16, 4));
        _data.Train.ClassNames.Should().Equal("n0", "n1", "n2", "n3");
        _data.Validation.ClassCounts().Should().Equal(1, 1, 1, 1);
        _data.Train.SourceIndices.data<long>().ToArray().Concat(_data.Validation.SourceIndices.data<long>().ToArray()).Order().Should()
            .Equal(Enumerable.Range(0, 24).Select(number => (long)number));
        _data.Test.Labels.data<long>().ToArray().Should().Equal(Enumerable.Range(0, 16).Select(number => number / 4L));
        _data.Train.Files!.NameBytes.Should().BeGreaterThan(24 * 2 * "n0/grey_0.JPEG".Length);
        FluentActions.Invoking(() => _data.Train.Images).Should().Throw<InvalidOperationException>();
    }

    [Fact]
    public void An_epoch_that_is_gone_on_with_has_the_same_batches()
    {
        var plan = new BatchPlan(20, 6, seed: 3);
        List<Taken> whole = Take(_data.Train, plan, epoch: 2, first: 0), rest = Take(_data.Train, plan, epoch: 2, first: 2);

        whole.Select(batch => batch.Rows.Length).Should().Equal(6, 6, 6, 2);
        whole.SelectMany(batch => batch.Rows).Should().OnlyHaveUniqueItems();
        rest.Should().BeEquivalentTo(whole.Skip(2), options => options.WithStrictOrdering());
        Take(_data.Train, plan, epoch: 1, first: 2)[0].Images.Should().NotEqual(rest[0].Images);
    }

    /// <summary>Crops are drawn for the whole batch, and each process takes its own.</summary>
    [Fact]
    public void Shards_are_the_parts_of_the_batch()
    {
        Taken whole = Take(_data.Train, new BatchPlan(20, 10, seed: 5), epoch: 0, first: 0)[0];
        var parts = Enumerable.Range(0, 2)
            .SelectMany(rank => Samples(Take(_data.Train, new BatchPlan(20, 10, seed: 5, new Shard(rank, 2)), epoch: 0, first: 0)[0]))
            .ToDictionary(sample => sample.Row);

        parts.Should().HaveCount(10);
        foreach ((long row, long label, float[] image) in Samples(whole))
        {
            parts[row].Label.Should().Be(label);
            parts[row].Image.Should().Equal(image);
        }
    }

    [Fact]
    public void A_selection_reads_the_files_of_its_own_rows()
    {
        using ImageSet some = _data.Test.Select([9, 2]);
        List<Taken> two = [.. Read(new BatchSource(some, _data.Normalisation).InOrder(5))], all =
        [
            .. Read(new BatchSource(_data.Test, _data.Normalisation).InOrder(16)),
        ];

        float[][] images = [.. Samples(all[0]).Select(sample => sample.Image)];
        Samples(two[0]).Select(sample => sample.Image).Should()
            .BeEquivalentTo([images[9], images[2]], options => options.WithStrictOrdering());
        two[0].Labels.Should().Equal(2, 0);
    }

    [Fact]
    public void Batches_that_are_taken_or_left_leave_no_tensor()
    {
        var plan = new BatchPlan(20, 4, seed: 1);
        Round();
        NativeMemoryCollection.Settle();
        long before = Tensor.TotalCount;

        Round();
        Round();

        NativeMemoryCollection.Settle();
        Tensor.TotalCount.Should().Be(before);

        void Round()
        {
            Take(_data.Train, plan, epoch: 0, first: 0).Should().HaveCount(5);
            using DisposeScope scope = NewDisposeScope();
            foreach (Batch batch in new BatchSource(_data.Train, _data.Normalisation).Training(plan, 1, augment: true).Take(1))
            {
                batch.Dispose(); // others are ready and never asked for
            }
        }
    }

    private List<Taken> Take(ImageSet set, BatchPlan plan, int epoch, int first)
        => [.. Read(new BatchSource(set, _data.Normalisation).Training(plan, epoch, augment: true, first))];

    private static IEnumerable<Taken> Read(IEnumerable<Batch> batches)
    {
        foreach (Batch batch in batches)
        {
            using (batch)
            {
                yield return new Taken(
                    batch.Images.data<float>().ToArray(), batch.Labels.data<long>().ToArray(), batch.Rows.data<long>().ToArray());
            }
        }
    }

    private static IEnumerable<(long Row, long Label, float[] Image)> Samples(Taken batch)
    {
        int size = batch.Images.Length / batch.Rows.Length;
        return batch.Rows.Select((row, i) => (row, batch.Labels[i], batch.Images[(i * size)..((i + 1) * size)]));
    }

    private sealed record Taken(float[] Images, long[] Labels, long[] Rows);
}

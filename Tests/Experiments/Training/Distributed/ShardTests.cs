using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Tests.Experiments.Training.Distributed;

/// <summary>How a batch is dealt out to processes.</summary>
public sealed class ShardTests
{
    [Fact]
    public void The_halves_of_all_shards_are_the_halves_of_the_batch() => Prop.ForAll<int, int>((samples, processes) =>
    {
        using DisposeScope scope = NewDisposeScope();
        int of = 1 + Math.Abs(processes % 9), count = (2 * of) + Math.Abs(samples % 100);
        int half = (count + 1) / 2;
        long[][] shards = [.. Enumerable.Range(0, of).Select(rank => new Shard(rank, of).Indices(count).data<long>().ToArray())];

        // The loop cuts a shard as it cuts a batch: of an odd number the first half has one more.
        long[][] firsts = [.. shards.Select(shard => shard[..((shard.Length + 1) / 2)])];
        long[][] seconds = [.. shards.Select(shard => shard[((shard.Length + 1) / 2)..])];
        return firsts.SelectMany(rows => rows).SequenceEqual(Enumerable.Range(0, half).Select(row => (long)row))
            && seconds.SelectMany(rows => rows).SequenceEqual(Enumerable.Range(half, count - half).Select(row => (long)row))
            && seconds.All(rows => rows.Length > 0)
            && shards.Max(shard => shard.Length) - shards.Min(shard => shard.Length) <= 2;
    }).Hold();

    [Theory]
    [InlineData(10, 3, new long[] { 4, 3, 3 })]
    [InlineData(2, 4, new long[] { 1, 1, 0, 0 })]
    public void Neighbours_are_dealt_out_whole(long count, int processes, long[] sizes)
    {
        (long Start, long Count)[] ranges = [.. Enumerable.Range(0, processes).Select(rank => new Shard(rank, processes).Range(count))];

        ranges.Select(range => range.Count).Should().Equal(sizes);
        ranges.Select(range => range.Start).Should().Equal(sizes.Select((_, rank) => sizes[..rank].Sum()));
    }

    [Fact]
    public void Processes_see_the_same_augmented_images_as_one()
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(5);
        using ImageSet images = GeneratedImages.Make(43, 3, random);
        var source = new BatchSource(images, new Normalisation([0.5, 0.5, 0.5], [0.2, 0.2, 0.2]));
        Batch[] whole = [.. source.Training(new BatchPlan(43, 16, seed: 3), epoch: 2, augment: true)];
        Batch[][] shards =
        [
            .. Enumerable.Range(0, 3)
                .Select(rank => source.Training(new BatchPlan(43, 16, seed: 3, new Shard(rank, 3)), epoch: 2, augment: true).ToArray()),
        ];

        shards.Should().OnlyContain(batches => batches.Length == whole.Length);
        for (int b = 0; b < whole.Length; b++)
        {
            int[] places =
            [
                .. shards.SelectMany((_, rank) => new Shard(rank, 3).Indices(whole[b].Labels.shape[0]).data<long>().ToArray())
                    .Select(place => (int)place),
            ];
            Tensor order = tensor(Array.ConvertAll(places, place => (long)place));
            cat([.. shards.Select(batches => batches[b].Images)]).eq(whole[b].Images.index_select(0, order)).all().item<bool>().Should()
                .BeTrue();
            cat([.. shards.Select(batches => batches[b].Rows)]).data<long>().ToArray().Should()
                .Equal(whole[b].Rows.index_select(0, order).data<long>().ToArray());
        }
    }

    [Theory]
    [InlineData(43, 16, 1, 3)]
    [InlineData(43, 16, 3, 3)]
    [InlineData(37, 16, 3, 2)] // of the last 5 not every process would get one of each half
    public void A_last_batch_that_is_too_small_for_all_is_left_out(int images, int batch, int processes, int batches)
        => new BatchPlan(images, batch, seed: 0, new Shard(0, processes)).Batches.Should().Be(batches);
}

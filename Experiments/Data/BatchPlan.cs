namespace Imta.MetaWeight.Experiments.Data;

/// <summary>
/// Which images make up which batch of which epoch. The order of an epoch depends only on the run's seed and the epoch, so a run
/// can resume at any epoch. As in the published L2W-DEN code the last batch may be smaller (an odd-sized one gives its first half
/// the extra image); a batch of a single image is dropped, because it cannot be split. Several processes share each batch
/// (<see cref="Shard"/>), and a last batch too small to give every process an image of each half is dropped.
/// </summary>
internal sealed class BatchPlan
{
    /// <param name="images">The number N of training images, at least 2.</param>
    /// <param name="batch">Global batch size over all processes; at least 2 per process.</param>
    /// <param name="seed">The run's seed.</param>
    /// <param name="shard">This process's shard of each batch; null: all.</param>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 2 images per process.</exception>
    public BatchPlan(int images, int batch, long seed, Shard? shard = null)
    {
        Shard = shard ?? Shard.Full;
        int least = 2 * Shard.Count;
        ArgumentOutOfRangeException.ThrowIfLessThan(images, least);
        ArgumentOutOfRangeException.ThrowIfLessThan(batch, least);
        Images = images;
        BatchSize = batch;
        Seed = seed;
        Batches = (images / batch) + (images % batch >= least ? 1 : 0);
    }

    /// <summary>The number N of training images.</summary>
    public int Images { get; }

    /// <summary>Batch size (the last batch may be smaller).</summary>
    public int BatchSize { get; }

    /// <summary>The run's seed.</summary>
    public long Seed { get; }

    /// <summary>This process's shard of each batch.</summary>
    public Shard Shard { get; }

    /// <summary>Batches per epoch.</summary>
    public int Batches { get; }

    /// <summary>The order of an epoch: a permutation of the rows, int64 [N] on the CPU.</summary>
    /// <param name="epoch">From 0.</param>
    public Tensor Order(int epoch)
    {
        using var random = SeedSequence.Generator(Seed, SeedSequence.Order, epoch);
        return randperm(Images, ScalarType.Int64, generator: random);
    }

    /// <summary>The rows of a whole batch, a view of the epoch's order: int64 [n].</summary>
    /// <param name="order">From <see cref="Order"/>.</param>
    /// <param name="batch">From 0.</param>
    public Tensor Rows(Tensor order, int batch)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(batch);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(batch, Batches);
        long start = (long)batch * BatchSize;
        return order.narrow(0, start, Math.Min(BatchSize, Images - start));
    }
}

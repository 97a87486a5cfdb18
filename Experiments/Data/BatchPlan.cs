namespace Imta.MetaWeight.Experiments.Data;

/// <summary>
/// Which images make up which batch of which epoch. The order of an epoch follows from the run's seed and the epoch alone, so a run
/// can resume at any epoch. As in the published L2W-DEN code the last batch may be smaller (an odd one gives its first half
/// the extra image); one of a single image is left out, because it has no two halves. Several processes share each batch
/// (<see cref="Shard"/>), and a last one in which not all find an image of each half is left out.
/// </summary>
internal sealed class BatchPlan
{
    /// <param name="images">The number N of training images, 2 at least.</param>
    /// <param name="batch">Images a batch, of all processes together; 2 for each at least.</param>
    /// <param name="seed">The run's seed.</param>
    /// <param name="shard">What of each batch is this process's; null: all.</param>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 2 images a process.</exception>
    public BatchPlan(int images, int batch, long seed, Shard? shard = null)
    {
        Shard = shard ?? Shard.Whole;
        int least = 2 * Shard.Of;
        ArgumentOutOfRangeException.ThrowIfLessThan(images, least);
        ArgumentOutOfRangeException.ThrowIfLessThan(batch, least);
        Images = images;
        Batch = batch;
        Seed = seed;
        Batches = (images / batch) + (images % batch >= least ? 1 : 0);
    }

    /// <summary>The number N of training images.</summary>
    public int Images { get; }

    /// <summary>Images a batch, the last excepted.</summary>
    public int Batch { get; }

    /// <summary>The run's seed.</summary>
    public long Seed { get; }

    /// <summary>What of each batch is this process's.</summary>
    public Shard Shard { get; }

    /// <summary>Batches an epoch.</summary>
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
        long start = (long)batch * Batch;
        return order.narrow(0, start, Math.Min(Batch, Images - start));
    }
}

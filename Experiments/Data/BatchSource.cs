namespace Imta.MetaWeight.Experiments.Data;

/// <summary>
/// What a network is given at once. Its tensors belong to the dispose scope that was open when it was made, or to who disposes it.
/// </summary>
/// <param name="Images">Normalised, [N, 3, 32, 32], on the device.</param>
/// <param name="Labels">int64 [N], on the device.</param>
/// <param name="Rows">int64 [N], on the CPU: the images' rows in their <see cref="ImageSet"/>.</param>
public sealed record Batch(Tensor Images, Tensor Labels, Tensor Rows) : IDisposable
{
    /// <inheritdoc/>
    public void Dispose()
    {
        Images.Dispose();
        Labels.Dispose();
        Rows.Dispose();
    }
}

/// <summary>
/// Makes batches of an image set on a device. The whole set's bytes lie there (<see cref="ImageSet.On"/>) and batches are made there, of the
/// rows and the crops that the CPU drew: making one waits for no device.
/// </summary>
public sealed class BatchSource
{
    private readonly ImageSet _set;
    private readonly Normalisation _normalisation;
    private readonly Device _device;
    private readonly ScalarType _type;

    /// <param name="set">Stays the caller's.</param>
    /// <param name="normalisation">For the network's input.</param>
    /// <param name="device">Where batches go; null: the CPU.</param>
    /// <param name="type">The element type of the images.</param>
    public BatchSource(ImageSet set, Normalisation normalisation, Device? device = null, ScalarType type = ScalarType.Float32)
    {
        _set = set;
        _normalisation = normalisation;
        _device = device ?? CPU;
        _type = type;
    }

    /// <summary>The batches of a training epoch, or of each the plan's shard. The caller disposes each.</summary>
    /// <param name="plan">A plan for as many images as the set has.</param>
    /// <param name="epoch">From 0.</param>
    /// <param name="augment">Whether images are cropped and flipped: by the plan's seed, the epoch and the batch alone.</param>
    /// <param name="first">The batch to start with, from 0.</param>
    /// <exception cref="ArgumentException">The plan is for another number of images.</exception>
    public IEnumerable<Batch> Training(BatchPlan plan, int epoch, bool augment, int first = 0)
        => plan.Images == _set.Count
            ? Each(plan, epoch, augment, first)
            : throw new ArgumentException($"the plan is for {plan.Images} images, the set has {_set.Count}.", nameof(plan));

    /// <summary>All images in the set's order, as they are. The caller disposes each batch.</summary>
    /// <param name="batch">Images a batch, the last excepted.</param>
    public IEnumerable<Batch> InOrder(int batch)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(batch, 1);
        return Enumerable.Range(0, (_set.Count + batch - 1) / batch).Select(i =>
        {
            using var scope = NewDisposeScope();
            long start = (long)i * batch;
            return Make(arange(start, Math.Min(start + batch, _set.Count), ScalarType.Int64), bytes => _normalisation.Apply(bytes, _type));
        });
    }

    private IEnumerable<Batch> Each(BatchPlan plan, int epoch, bool augment, int first)
    {
        // Outlives the scopes that the consumer opens and closes between two batches.
        using var order = plan.Order(epoch).DetachFromDisposeScope();
        for (int i = first; i < plan.Batches; i++)
        {
            yield return Train(plan, order, epoch, i, augment);
        }
    }

    private Batch Train(BatchPlan plan, Tensor order, int epoch, int batch, bool augment)
    {
        using var scope = NewDisposeScope();
        using var random = SeedSequence.Generator(plan.Seed, SeedSequence.Augmentation, epoch, batch);
        var whole = plan.Rows(order, batch);
        var within = plan.Shard.Within(whole.NumberOfElements);
        var rows = whole.index_select(0, within); // no view: the batch may outlive the epoch
        return Make(rows, bytes => augment
            ? Augmentation.Apply(bytes, Augmentation.Sample((int)whole.NumberOfElements, random).Of(within), _normalisation, _type)
            : _normalisation.Apply(bytes, _type));
    }

    private Batch Make(Tensor rows, Func<Tensor, Tensor> prepare)
    {
        (Tensor images, Tensor labels) = _set.On(_device);
        Tensor there = rows.to(_device, non_blocking: true); // from pageable memory, as in Augmentation
        return new(
            prepare(images.index_select(0, there)).MoveToOuterDisposeScope(),
            labels.index_select(0, there).MoveToOuterDisposeScope(),
            rows.MoveToOuterDisposeScope());
    }
}

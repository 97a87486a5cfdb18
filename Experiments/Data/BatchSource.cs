namespace Imta.MetaWeight.Experiments.Data;

/// <summary>
/// One batch of network inputs. Its tensors belong to the dispose scope in which it was created, or to whoever disposes it.
/// </summary>
/// <param name="Images">Normalised, [N, 3, S, S], on the device.</param>
/// <param name="Labels">int64 [N], on the device.</param>
/// <param name="Rows">int64 [N], on the CPU: the images' rows in their <see cref="ImageSet"/>.</param>
internal sealed record Batch(Tensor Images, Tensor Labels, Tensor Rows) : IDisposable
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
/// Creates batches of an image set on a device. An in-memory set is copied there (<see cref="ImageSet.ToDevice"/>) and batches are
/// assembled there, from rows and crops drawn on the CPU, without synchronising with the device. Files are read and cropped on the CPU,
/// some batches ahead, and their bytes are transferred.
/// </summary>
internal sealed class BatchSource
{
    private readonly ImageSet _set;
    private readonly Normalisation _normalisation;
    private readonly Device _device;
    private readonly ScalarType _type;
    private long[]? _positions;

    /// <param name="set">Owned by the caller.</param>
    /// <param name="normalisation">For the network's input.</param>
    /// <param name="device">The device of the batches; null: the CPU.</param>
    /// <param name="type">The element type of the images.</param>
    public BatchSource(ImageSet set, Normalisation normalisation, Device? device = null, ScalarType type = ScalarType.Float32)
    {
        _set = set;
        _normalisation = normalisation;
        _device = device ?? CPU;
        _type = type;
    }

    /// <summary>The batches of a training epoch, restricted to the plan's shard. The caller disposes each.</summary>
    /// <param name="plan">A plan for as many images as the set has.</param>
    /// <param name="epoch">From 0.</param>
    /// <param name="augment">Whether images are cropped and flipped; how depends only on the plan's seed, the epoch and the batch.</param>
    /// <param name="first">The batch to start with, from 0.</param>
    /// <exception cref="ArgumentException">The plan is for a different number of images.</exception>
    public IEnumerable<Batch> Training(BatchPlan plan, int epoch, bool augment, int first = 0)
        => Training(plan, Enumerable.Range(first, Math.Max(0, plan.Batches - first)).Select(batch => (epoch, batch)), augment);

    /// <summary>Some batches of several epochs.</summary>
    /// <param name="plan">A plan for as many images as the set has.</param>
    /// <param name="requested">Which batches of which epochs, both from 0; for files enumerated on another thread, ahead of the
    /// consumer.</param>
    /// <param name="augment">Whether images are cropped and flipped.</param>
    /// <exception cref="ArgumentException">The plan is for a different number of images.</exception>
    internal IEnumerable<Batch> Training(BatchPlan plan, IEnumerable<(int Epoch, int Batch)> requested, bool augment)
    {
        if (plan.Images != _set.Count)
        {
            throw new ArgumentException($"the plan is for {plan.Images} images, but the set has {_set.Count}.", nameof(plan));
        }

        IEnumerable<PlannedBatch> drafts = Drafts(plan, requested);
        return _set.Files is { } files
            ? Read(files, drafts.Select(draft => Job(files, draft, augment)))
            : drafts.Select(draft => TrainingBatches(draft, augment));
    }

    /// <summary>All images in the set's order, without augmentation. The caller disposes each batch.</summary>
    /// <param name="batch">Batch size (the last batch may be smaller).</param>
    public IEnumerable<Batch> InOrder(int batch)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(batch, 1);
        IEnumerable<long[]> rows = Enumerable.Range(0, _set.Count).Select(row => (long)row).Chunk(batch);
        return _set.Files is { } files
            ? Read(files, rows.Select(of => Job(files, of, null)))
            : rows.Select(Unaugmented);
    }

    /// <summary>The batches to create. Their tensors are in no scope: batches are started in one scope and consumed in another.</summary>
    private static IEnumerable<PlannedBatch> Drafts(BatchPlan plan, IEnumerable<(int Epoch, int Batch)> requested)
    {
        (int Of, Tensor Rows)? order = null;
        try
        {
            foreach ((int epoch, int batch) in requested)
            {
                if (order?.Of != epoch)
                {
                    order?.Rows.Dispose();
                    order = (epoch, plan.Order(epoch).DetachFromDisposeScope());
                }

                yield return new PlannedBatch(plan, order.Value.Rows, epoch, batch);
            }
        }
        finally
        {
            order?.Rows.Dispose();
        }
    }

    private Batch TrainingBatches(PlannedBatch draft, bool augment)
    {
        using DisposeScope scope = NewDisposeScope();
        (Tensor rows, Tensor within, int whole) = draft.Rows();
        using Generator random = draft.Random();
        return Make(rows, bytes => augment
            ? Augmentation.Apply(bytes, Augmentation.Sample(whole, random, (int)bytes.size(2)).Select(within), _normalisation, _type)
            : _normalisation.Apply(bytes, _type));
    }

    private Batch Unaugmented(long[] rows)
    {
        using DisposeScope scope = NewDisposeScope();
        return Make(tensor(rows), bytes => _normalisation.Apply(bytes, _type));
    }

    private ImageBatchRequest Job(ImageFiles files, PlannedBatch draft, bool augment)
    {
        using DisposeScope scope = NewDisposeScope();
        (Tensor rows, Tensor within, int whole) = draft.Rows();
        using Generator random = draft.Random();
        return Job(files, rows.ToArray<long>(), augment ? RandomCropDraws.Sample(whole, random).Select(within.ToArray<long>()) : null);
    }

    private ImageBatchRequest Job(ImageFiles files, long[] rows, RandomCropDraws? draws)
    {
        long[] positions = _positions ??= _set.SourceIndices.ToArray<long>();
        return files.Job(rows.Select(row => positions[row]), draws, rows);
    }

    private IEnumerable<Batch> Read(ImageFiles files, IEnumerable<ImageBatchRequest> jobs)
    {
        foreach ((ImageBatchRequest job, Tensor pixels) in files.Read(jobs))
        {
            yield return ToDevice(job, pixels);
        }
    }

    private Batch ToDevice(ImageBatchRequest job, Tensor pixels)
    {
        using DisposeScope scope = NewDisposeScope();
        using (pixels)
        {
            return Labelled(tensor(job.Rows), _ => _normalisation.Apply(pixels.to(_device, non_blocking: true), _type));
        }
    }

    private Batch Make(Tensor rows, Func<Tensor, Tensor> prepare)
        => Labelled(rows, there => prepare(_set.ToDevice(_device).Images!.index_select(0, there)));

    /// <summary>The images of the given rows and their labels, moved out of the scope that the caller opened.</summary>
    private Batch Labelled(Tensor rows, Func<Tensor, Tensor> images)
    {
        Tensor there = rows.to(_device, non_blocking: true); // from pageable memory, as in Augmentation
        return new(
            images(there).MoveToOuterDisposeScope(),
            _set.ToDevice(_device).Labels.index_select(0, there).MoveToOuterDisposeScope(),
            rows.MoveToOuterDisposeScope());
    }

    /// <summary>A planned batch, before it is created.</summary>
    /// <param name="Plan">The plan.</param>
    /// <param name="Order">The epoch's order.</param>
    /// <param name="Epoch">From 0.</param>
    /// <param name="Batch">From 0.</param>
    private sealed record PlannedBatch(BatchPlan Plan, Tensor Order, int Epoch, int Batch)
    {
        /// <summary>
        /// The rows of this process (a copy, because the batch may outlive the epoch), their indices in the whole batch, and the batch's
        /// size.
        /// </summary>
        public (Tensor Rows, Tensor Within, int Whole) Rows()
        {
            Tensor whole = Plan.Rows(Order, Batch);
            Tensor within = Plan.Shard.Indices(whole.NumberOfElements);
            return (whole.index_select(0, within), within, (int)whole.NumberOfElements);
        }

        /// <summary>The generator of the whole batch's crops and flips.</summary>
        public Generator Random() => SeedSequence.Generator(Plan.Seed, SeedSequence.Augmentation, Epoch, Batch);
    }
}

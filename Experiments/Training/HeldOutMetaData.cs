using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>
/// Batches of held-out meta data, of the training batch size or all images if fewer, in a random order that is redrawn after each pass
/// (Meta-Weight-Net). Which one a training batch gets depends only on its number; the incomplete last batch of a pass is dropped.
/// </summary>
internal sealed class HeldOutMetaData
{
    private readonly BatchPlan _plan;
    private readonly int _batchesPerPass; // full batches per pass
    private readonly BatchSource _source;
    private readonly bool _augment;

    public HeldOutMetaData(ImageSet images, Normalisation normalisation, Settings settings, Device device, Shard shard)
    {
        ulong seed = SeedSequence.Derive(settings.Seed, SeedSequence.MetaBatches);
        _plan = new BatchPlan(images.Count, Math.Min(settings.Train.Batch, images.Count), unchecked((long)seed), shard);
        _batchesPerPass = images.Count / _plan.BatchSize;
        _source = new BatchSource(images, normalisation, device);
        _augment = settings.Data.Augment;
    }

    /// <summary>The meta data of some batches, each in the dispose scope that is open when it is requested.</summary>
    /// <param name="batches">Batch indices from 0, over all epochs of the phase; files are prefetched.</param>
    public IEnumerable<LabelledImages> Batches(IEnumerable<long> batches)
        => _source.Training(_plan, batches.Select(PassAndBatch), _augment).Select(batch =>
    {
        batch.Rows.Dispose();
        return new LabelledImages(batch.Images, batch.Labels);
    });

    private (int Pass, int Within) PassAndBatch(long batch)
    {
        (long pass, long within) = Math.DivRem(batch, _batchesPerPass);
        return (checked((int)pass), (int)within);
    }
}

using System.Diagnostics;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Experiments.Benchmarks;

/// <summary>The pipeline from images in memory to augmented batches on the device, as in training.</summary>
internal sealed class AugmentationBench : IDisposable
{
    private const int GeneratedCount = 10_000;

    private readonly ImageSet _set;
    private readonly BatchSource _source;
    private readonly BatchPlan _plan;
    private readonly Action _wait;
    private int _epoch;

    /// <param name="set">The images; ownership is transferred.</param>
    /// <param name="normalisation">The normalisation of the network's input.</param>
    /// <param name="settings">Batch size and seed.</param>
    /// <param name="device">The target device.</param>
    /// <param name="wait">Waits for the device.</param>
    public AugmentationBench(ImageSet set, Normalisation normalisation, Settings settings, Device device, Action wait)
    {
        (_set, _wait) = (set, wait);
        _source = new BatchSource(set, normalisation, device);
        _plan = new BatchPlan(set.Count, settings.Train.Batch, settings.Seed);
    }

    /// <summary>Images of random bytes, in CIFAR's shape.</summary>
    public static ImageSet RandomImages(long seed)
    {
        using DisposeScope scope = NewDisposeScope();
        using Generator random = SeedSequence.Generator(seed, nameof(AugmentationBench));
        return new ImageSet(
            randint(0, byte.MaxValue + 1, [GeneratedCount, 3, ImageSet.Side, ImageSet.Side], ScalarType.Byte, generator: random),
            zeros([GeneratedCount], ScalarType.Int64),
            arange(Held(0), Held(GeneratedCount), One, ScalarType.Int64),
            ["any"]);
    }

    /// <summary>Seconds per image over an epoch; each call uses the next epoch.</summary>
    public BenchmarkCase Contender() => new("augmented image", () =>
    {
        int images = 0;
        var clock = Stopwatch.StartNew();
        foreach (Batch batch in _source.Training(_plan, _epoch++, augment: true))
        {
            images += (int)batch.Labels.shape[0];
            batch.Dispose();
        }

        _wait();
        return clock.Elapsed.TotalSeconds / images;
    });

    public void Dispose() => _set.Dispose();
}

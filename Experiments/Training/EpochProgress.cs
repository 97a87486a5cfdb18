using System.Diagnostics;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>An epoch that is being trained: all that has to be known of its batches so far.</summary>
internal sealed class EpochProgress : IDisposable
{
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private double _secondsBefore;

    /// <param name="columns">Those of <c>epochs.csv</c>.</param>
    /// <param name="exits">K.</param>
    /// <param name="images">Training images.</param>
    /// <param name="device">The network's.</param>
    /// <param name="recordsWeights">Whether the epoch's sample weights are written.</param>
    public EpochProgress(IReadOnlyList<EpochColumn> columns, int exits, int images, Device device, bool recordsWeights)
    {
        (Tally, Watch) = (new EpochTally(columns, exits, device), new FiniteWatch(exits));
        Record = recordsWeights ? new WeightRecord(exits, images, device) : null;
    }

    public EpochTally Tally { get; }

    public FiniteWatch Watch { get; }

    /// <summary>Null where the epoch's weights are not written.</summary>
    public WeightRecord? Record { get; }

    /// <summary>Batches done, skipped ones among them.</summary>
    public int Batches { get; set; }

    /// <summary>Batches that were skipped.</summary>
    public int Skipped { get; set; }

    /// <summary>Seconds of training so far.</summary>
    public double Seconds => _secondsBefore + _clock.Elapsed.TotalSeconds;

    /// <summary>What all processes have done, for a checkpoint; the tensors belong to the open dispose scope.</summary>
    public TorchDictionary Content(Replicas replicas) => new()
    {
        ["batch"] = Batches,
        ["skipped"] = Skipped,
        ["seconds"] = Seconds,
        ["tally"] = Tally.Content(replicas),
        ["weights"] = (TorchValue?)Record?.Content(replicas) ?? TorchNone.Value,
    };

    /// <summary>Goes on from what a checkpoint holds: rank 0 with the weights of all.</summary>
    /// <exception cref="InvalidDataException">A part is missing or of another kind.</exception>
    public void Restore(TorchDictionary content, Replicas replicas)
    {
        Batches = checked((int)content.Integer("batch"));
        Skipped = checked((int)content.Integer("skipped"));
        _secondsBefore = content.Real("seconds");
        Tally.Restore(content.Dictionary("tally"), replicas.Shard);
        if (replicas.IsFirst)
        {
            Record?.Restore(content.Dictionary("weights"));
        }
    }

    public void Dispose()
    {
        Tally.Dispose();
        Watch.Dispose();
        Record?.Dispose();
    }
}

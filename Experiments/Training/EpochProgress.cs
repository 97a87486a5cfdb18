using System.Diagnostics;
using Imta.MetaWeight.Backbones;
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
    public StateTree Content(Replicas replicas)
    {
        var content = new StateTree
        {
            Numbers = { ["batch"] = Batches, ["skipped"] = Skipped, ["seconds"] = Seconds },
            Groups = { ["tally"] = Tally.Content(replicas) },
        };
        if (Record is not null)
        {
            content.Groups["weights"] = Record.Content(replicas);
        }

        return content;
    }

    /// <summary>Goes on from what a checkpoint holds: rank 0 with the weights of all.</summary>
    /// <exception cref="InvalidDataException">A part is missing or of another kind.</exception>
    public void Restore(StateTree content, Replicas replicas)
    {
        Batches = checked((int)content.WholeNumber("batch"));
        Skipped = checked((int)content.WholeNumber("skipped"));
        _secondsBefore = content.Number("seconds");
        Tally.Restore(content.Group("tally"), replicas.Shard);
        if (replicas.IsFirst)
        {
            Record?.Restore(content.Group("weights"));
        }
    }

    public void Dispose()
    {
        Tally.Dispose();
        Watch.Dispose();
        Record?.Dispose();
    }
}

using System.Diagnostics;
using System.Globalization;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>The state of the current epoch: everything recorded for its batches so far.</summary>
internal sealed class EpochProgress : IDisposable
{
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private double _secondsBefore;

    /// <param name="columns">The columns of <c>epochs.csv</c>.</param>
    /// <param name="exits">The number of exits K.</param>
    /// <param name="images">The number of training images.</param>
    /// <param name="device">The network's device.</param>
    /// <param name="recordsWeights">Whether the epoch's sample weights are written.</param>
    public EpochProgress(IReadOnlyList<EpochColumn> columns, int exits, int images, Device device, bool recordsWeights)
    {
        (Statistics, NonFiniteDetector) = (new EpochStatistics(columns, exits, device), new NonFiniteDetector(exits));
        SampleWeights = recordsWeights ? new SampleWeightRecorder(exits, images, device) : null;
    }

    public EpochStatistics Statistics { get; }

    public NonFiniteDetector NonFiniteDetector { get; }

    /// <summary>Null if the epoch's weights are not written.</summary>
    public SampleWeightRecorder? SampleWeights { get; }

    /// <summary>Batches completed, including skipped ones.</summary>
    public int Batches { get; set; }

    /// <summary>Batches that were skipped.</summary>
    public int Skipped { get; set; }

    /// <summary>Batches of the current pass that were skipped.</summary>
    public int SkippedInPass { get; set; }

    /// <summary>Seconds of training so far.</summary>
    public double Seconds => _secondsBefore + _clock.Elapsed.TotalSeconds;

    /// <summary>
    /// For the progress line: the mean training loss over exits and the batches so far, of this rank. Waits for the device.
    /// </summary>
    /// <param name="rate">The backbone's learning rate.</param>
    public string ProgressText(double rate)
    {
        string loss = Statistics.MeanSoFar(EpochColumn.TrainLoss) is { } mean
            ? string.Create(CultureInfo.InvariantCulture, $", mean loss {mean:0.000}")
            : "";
        return string.Create(CultureInfo.InvariantCulture, $"{loss}, rate {rate:G4}");
    }

    /// <summary>The state of all processes, for a checkpoint; the tensors belong to the enclosing dispose scope.</summary>
    public StateTree GatherState(ProcessGroup processGroup)
    {
        var content = new StateTree
        {
            Numbers = { ["batch"] = Batches, ["skipped"] = Skipped, ["skipped_in_pass"] = SkippedInPass, ["seconds"] = Seconds },
            Groups = { ["tally"] = Statistics.GatherState(processGroup) },
        };
        if (SampleWeights is not null)
        {
            content.Groups["weights"] = SampleWeights.GatherState(processGroup);
        }

        return content;
    }

    /// <summary>Restores the state from a checkpoint: rank 0 gets the weights of all ranks.</summary>
    /// <exception cref="InvalidDataException">An entry is missing or of the wrong type.</exception>
    public void Restore(StateTree content, ProcessGroup processGroup)
    {
        Batches = checked((int)content.WholeNumber("batch"));
        Skipped = checked((int)content.WholeNumber("skipped"));
        SkippedInPass = checked((int)content.WholeNumber("skipped_in_pass"));
        _secondsBefore = content.Number("seconds");
        Statistics.Restore(content.Group("tally"), processGroup.Shard);
        if (processGroup.IsRankZero)
        {
            SampleWeights?.Restore(content.Group("weights"));
        }
    }

    public void Dispose()
    {
        Statistics.Dispose();
        NonFiniteDetector.Dispose();
        SampleWeights?.Dispose();
    }
}

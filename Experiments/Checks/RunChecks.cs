using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Training;

namespace Imta.MetaWeight.Experiments.Checks;

/// <summary>Everything that is checked before hours of training, while nothing is written yet.</summary>
internal sealed class RunChecks
{
    private readonly Settings _settings;
    private readonly RunData _data;
    private readonly MemoryNeed? _memory;
    private readonly long _disk;
    private readonly int _exits;

    /// <param name="settings">The run's settings.</param>
    /// <param name="data">Its images.</param>
    /// <param name="model">What it trains.</param>
    /// <param name="cost">What its backbone costs.</param>
    /// <param name="done">Epochs done.</param>
    public RunChecks(Settings settings, RunData data, RunModel model, NetworkCost cost, int done = 0)
    {
        (_settings, _data, _exits) = (settings, data, model.Network.Exits);
        _memory = settings.Device == "cpu" ? MemoryNeed.Of(model, cost, data, settings) : null; // a GPU's memory is not estimated
        _disk = DiskNeed.Of(model, data, settings).From(done, settings.Train.Epochs, settings.Export.WeightsEvery);
    }

    /// <summary>A line: what the run takes of the machine.</summary>
    public string Needs
        => $"needs about {(_memory is null ? "" : $"{ByteSize.Text(_memory.At(_settings.Train.Batch))} of memory and ")}{ByteSize.Text(_disk)} of disk";

    /// <summary>The findings on a run that is to start, in the order of <see cref="CheckName"/>.</summary>
    public IEnumerable<Finding> BeforeStart(MachineRoom room) =>
    [
        .. SplitsCheck.Findings(new SplitCounts(_data.Train.ClassNames, _data.Train.ClassCounts(), _data.Validation.ClassCounts(), _data.Test.ClassCounts()), _settings),
        .. OverlapCheck.Findings(Overlap.Of(_data)),
        .. OddBatchCheck.Findings(_data.Train.Count, _settings),
        .. SharesCheck.Findings(_data.Train.Count, _exits, _settings),
        .. OfMachine(room),
    ];

    /// <summary>The findings on a run that is to go on: those on the machine. Settings and data have passed, and do not change any more.</summary>
    public IEnumerable<Finding> BeforeGoingOn(MachineRoom room)
        => OfMachine(room).Select(finding => finding with { Fix = "free some, or go on with a copy of the run on a larger machine" });

    private IEnumerable<Finding> OfMachine(MachineRoom room) =>
    [
        .. room.Disk is { } free ? DiskCheck.Findings(_disk, free, _settings.Export.WeightsEvery) : [],
        .. room.Memory is { } memory && _memory is not null ? MemoryCheck.Findings(_memory, _settings.Train.Batch, memory) : [],
    ];
}

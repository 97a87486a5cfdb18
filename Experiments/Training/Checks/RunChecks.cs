using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Experiments.Training.Checks;

/// <summary>All checks made before training, while nothing is written yet.</summary>
internal sealed class RunChecks
{
    private readonly Settings _settings; // of the first remaining phase
    private readonly (TrainingPhase Phase, MemoryEstimate Memory)[] _phases;
    private readonly RunData _data;
    private readonly long _disk;
    private readonly int _exits;
    private readonly int _localProcesses;

    /// <param name="phases">The remaining phases.</param>
    /// <param name="data">The run's data set.</param>
    /// <param name="network">What the first of the phases trains.</param>
    /// <param name="weighting">Weights its samples.</param>
    /// <param name="done">Completed epochs of the run.</param>
    /// <param name="localProcesses">The number of processes on this machine, which share its memory.</param>
    /// <param name="copiedBytes">Bytes that are copied into the run's folder beforehand.</param>
    public RunChecks(
        IReadOnlyList<TrainingPhase> phases, RunData data, MultiExitNetwork network, ISampleWeighting weighting,
        int done = 0, int localProcesses = 1, long copiedBytes = 0)
    {
        (_settings, _data, _exits, _localProcesses) = (phases[0].Settings, data, network.Exits, localProcesses);
        NetworkCost cost = network.Cost(DatasetShape.For(_settings.Data).Side);
        _phases = [.. phases.Select(phase => (phase, MemoryEstimate.From(phase, network, weighting, cost, data)))];
        _disk = copiedBytes + DiskEstimate.BytesFrom(network, weighting, data, _settings)
            .After(done, phases[^1].LastEpoch, _settings.Export.WeightsEvery, _settings.Run.CheckpointEvery);
    }

    /// <summary>A line on the run's resource requirements.</summary>
    public string Requirements
    {
        get
        {
            long memory = _phases.Max(entry => entry.Memory.BytesFor(entry.Phase.Settings.Train.Batch));
            string each = _settings.Processes == 1 ? "" : " per process";
            return $"needs about {ByteSize.Text(memory)} of {MemoryCheck.Kind(_phases[0].Memory)}{each} "
                + $"and {ByteSize.Text(_disk)} of disk space";
        }
    }

    /// <summary>The findings for a new run, in the order of <see cref="CheckName"/>.</summary>
    public IEnumerable<CheckFinding> BeforeStart(AvailableResources available) =>
    [
        .. SplitsCheck.Findings(
            new SplitCounts(_data.Train.ClassNames, _data.Train.ClassCounts(), _data.Validation.ClassCounts(), _data.Test.ClassCounts()),
            _settings),
        .. Overlap.Measure(_data) is { } overlap ? OverlapCheck.Findings(overlap) : [],
        .. PhaseFindings((phase, _) => BatchSizeCheck.Findings(_data.Train.Count, phase.Settings)),
        .. PhaseFindings((phase, _) => SharesCheck.Findings(_data.Train.Count, _exits, phase.Settings)),
        .. MachineFindings(available),
    ];

    /// <summary>
    /// The findings for a resumed run: only those on the machine. Settings and data have already passed and no longer change.
    /// </summary>
    public IEnumerable<CheckFinding> BeforeResume(AvailableResources available)
        => MachineFindings(available).Select(finding => finding with
        {
            Fix = $"free some {(finding.Check == CheckName.Disk ? "disk space" : "memory")}, "
                + "or resume a copy of the run on a larger machine",
        });

    private IEnumerable<CheckFinding> MachineFindings(AvailableResources available) =>
    [
        .. available.Disk is { } free ? DiskCheck.Findings(_disk, free, _settings.Export.WeightsEvery) : [],
        .. PhaseFindings(
            (phase, need)
                => available.Memory is { } memory
                    ? MemoryCheck.Findings(need, phase.Settings.Train.Batch, need.OnGpu ? memory : memory / _localProcesses)
                    : []),
    ];

    /// <summary>The findings for each phase, with its own keys.</summary>
    private IEnumerable<CheckFinding> PhaseFindings(Func<TrainingPhase, MemoryEstimate, IEnumerable<CheckFinding>> check)
        => _phases.SelectMany(
            entry => check(entry.Phase, entry.Memory).Select(finding => entry.Phase.Number == 1 ? finding : InPhaseTwo(finding)));

    private static CheckFinding InPhaseTwo(CheckFinding finding) => finding with
    {
        Problem = finding.Problem.Replace("train.", "phase2.", StringComparison.Ordinal),
        Fix = finding.Fix.Replace("train.", "phase2.", StringComparison.Ordinal),
    };
}

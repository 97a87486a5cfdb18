using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Training.Checks;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>
/// What is to be trained: the remaining phases and the model of the first, newly initialised or restored from a checkpoint.
/// </summary>
/// <param name="Phases">The remaining phases.</param>
/// <param name="Model">The model of the first of them.</param>
/// <param name="CompletedEpochs">Completed epochs of the run; null for a new run.</param>
/// <param name="Progress">The partial state of the next epoch from a checkpoint; null if it has not started.</param>
internal sealed record PreparedModel(
    IReadOnlyList<TrainingPhase> Phases, RunModel Model, int? CompletedEpochs = null, StateTree? Progress = null)
    : IDisposable
{
    /// <summary>A line on what the network starts from; null: it is freshly initialised, or restored.</summary>
    public string? Origin { get; init; }

    /// <summary>Bytes that are copied into the run's folder from another run's before it continues.</summary>
    public long CopiedBytes { get; init; }

    /// <summary>The findings of the checks, after <see cref="Examine"/>.</summary>
    public IReadOnlyList<CheckFinding> Findings { get; private set; } = [];

    /// <summary>A line on the run's resource requirements, after <see cref="Examine"/>.</summary>
    public string Requirements { get; private set; } = "";

    /// <summary>The model with a checkpoint's state; of the checkpoint's tensors, only those of <see cref="Progress"/> are kept.</summary>
    /// <param name="checkpoint">The run's checkpoint.</param>
    /// <param name="file">The checkpoint's file, for messages.</param>
    /// <param name="data">The run's data set.</param>
    /// <param name="device">The model's device.</param>
    /// <param name="processGroup">The process group that trains it.</param>
    public static PreparedModel From(
        Checkpoint.CheckpointContent checkpoint, string file, RunData data, Device device, ProcessGroup processGroup)
    {
        TrainingPhase[] phases = [.. TrainingPhase.ForRun(checkpoint.Settings).Where(phase => phase.Number >= checkpoint.Phase)];
        RunModel model = RunModel.Build(phases[0], data.Train.ClassCounts(), device, processGroup);
        checkpoint.Restore(model, file);
        checkpoint.ReleaseState();
        return new PreparedModel(phases, model, checkpoint.Epochs, checkpoint.Progress);
    }

    /// <summary>Checks the run before hours of training.</summary>
    /// <param name="data">Its data set.</param>
    /// <param name="available">The machine's available resources.</param>
    /// <param name="localRanks">The number of ranks on this machine, which share its memory.</param>
    public void Examine(RunData data, AvailableResources available, int localRanks)
    {
        var checks = new RunChecks(Phases, data, Model.Network, Model.Weighting, CompletedEpochs ?? 0, localRanks, CopiedBytes);
        Requirements = checks.Requirements;
        Findings = [.. CompletedEpochs is null ? checks.BeforeStart(available) : checks.BeforeResume(available)];
    }

    public void Dispose() => Model.Dispose();
}

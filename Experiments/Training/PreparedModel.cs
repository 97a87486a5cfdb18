using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Training.Checks;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>What is to be trained: the phases that are left and the model of the first, as it starts or as a checkpoint left it.</summary>
/// <param name="Phases">The phases that are left.</param>
/// <param name="Model">What the first of them trains.</param>
/// <param name="Done">Epochs of the run that are done; null: it starts.</param>
/// <param name="Progress">What a checkpoint holds of the epoch after these; null: it has not begun.</param>
internal sealed record PreparedModel(IReadOnlyList<TrainingPhase> Phases, RunModel Model, int? Done = null, StateTree? Progress = null)
    : IDisposable
{
    /// <summary>What the checks say, after <see cref="Examine"/>.</summary>
    public IReadOnlyList<Finding> Findings { get; private set; } = [];

    /// <summary>A line on what the run takes of the machine, after <see cref="Examine"/>.</summary>
    public string Needs { get; private set; } = "";

    /// <summary>The model with a checkpoint's state; of the checkpoint's tensors only those of <see cref="Progress"/> stay.</summary>
    /// <param name="checkpoint">Of the run.</param>
    /// <param name="file">Its file, for messages.</param>
    /// <param name="data">The run's images.</param>
    /// <param name="device">Where it lives.</param>
    /// <param name="replicas">The ranks that train it.</param>
    public static PreparedModel From(Checkpoint.Content checkpoint, string file, RunData data, Device device, Replicas replicas)
    {
        TrainingPhase[] phases = [.. TrainingPhase.Of(checkpoint.Settings).Where(phase => phase.Number >= checkpoint.Phase)];
        RunModel model = RunModel.Build(phases[0], data.Train.ClassCounts(), device, replicas);
        checkpoint.Restore(model, file);
        checkpoint.ReleaseState();
        return new PreparedModel(phases, model, checkpoint.Epochs, checkpoint.Progress);
    }

    /// <summary>Checks the run before hours of training.</summary>
    /// <param name="data">Its images.</param>
    /// <param name="room">What the machine has left.</param>
    /// <param name="here">Ranks on this machine, which share its memory.</param>
    public void Examine(RunData data, MachineRoom room, int here)
    {
        var checks = new RunChecks(Phases, data, Model.Network, Model.Weighting, Done ?? 0, here);
        Needs = checks.Needs;
        Findings = [.. Done is null ? checks.BeforeStart(room) : checks.BeforeGoingOn(room)];
    }

    public void Dispose() => Model.Dispose();
}

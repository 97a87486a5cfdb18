using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>What all parts of a run's training share.</summary>
/// <param name="Settings">The run's.</param>
/// <param name="Data">Its images.</param>
/// <param name="Folder">Its folder, which rank 0 alone writes to.</param>
/// <param name="Monitor">Shows and logs progress; silent in other ranks.</param>
/// <param name="Device">Where this rank computes.</param>
/// <param name="Replicas">All ranks.</param>
internal sealed record RunContext(Settings Settings, RunData Data, RunFolder Folder, RunMonitor Monitor, Device Device, Replicas Replicas)
{
    /// <summary>Those of <c>epochs.csv</c>.</summary>
    public IReadOnlyList<EpochColumn> Columns { get; init; } = EpochColumn.Defaults;

    /// <summary>Counts the pictures that were read.</summary>
    public PictureLog Pictures { get; } = new(Data.Pictures, Replicas, Monitor);
}

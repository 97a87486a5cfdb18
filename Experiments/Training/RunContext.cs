using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>The context shared by all parts of a run's training.</summary>
/// <param name="Settings">The run's settings.</param>
/// <param name="Data">Its data set.</param>
/// <param name="Folder">Its folder, written only by rank 0.</param>
/// <param name="Monitor">Shows and logs progress; silent in other ranks.</param>
/// <param name="Device">The device of this rank.</param>
/// <param name="ProcessGroup">The process group.</param>
internal sealed record RunContext(
    Settings Settings, RunData Data, RunFolder Folder, RunMonitor Monitor, Device Device, ProcessGroup ProcessGroup)
{
    /// <summary>The columns of <c>epochs.csv</c>.</summary>
    public IReadOnlyList<EpochColumn> Columns { get; init; } = EpochColumn.Defaults;

    /// <summary>Counts the images read.</summary>
    public ImageReadLog Pictures { get; } = new(Data.Pictures, ProcessGroup, Monitor);
}

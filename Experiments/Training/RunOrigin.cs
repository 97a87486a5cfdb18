using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>
/// The origin of a run: a configuration (new run) or a run folder (resumed or extended run). Rank 0 calls all methods, in this order; other
/// ranks only <see cref="Read"/> and <see cref="Resumes"/>.
/// </summary>
internal abstract class RunOrigin : IDisposable
{
    /// <summary>Whether a run is resumed.</summary>
    public abstract bool Resumes { get; }

    /// <summary>The <c>epochs.csv</c> that is continued, once the run is open; null: it is new.</summary>
    public virtual string? EpochsTable => null;

    /// <summary>The run's settings, once it is open.</summary>
    public Settings Settings { get; protected set; } = null!;

    /// <summary>The checkpoint that all ranks start from, once the run's folder exists.</summary>
    public string CheckpointFile { get; protected set; } = "";

    /// <summary>Keeps other processes from training in the run's folder.</summary>
    protected IDisposable? RunLock { get; set; }

    /// <summary>The settings from this rank's own command line; null: it uses those of rank 0.</summary>
    /// <exception cref="UsageException">It is invalid.</exception>
    public abstract Settings? Read();

    /// <summary>Finds the run; nothing is written.</summary>
    /// <param name="ranks">The number of ranks that train it.</param>
    /// <exception cref="UsageException">It does not exist, or its folder is in use or otherwise unsuitable.</exception>
    public abstract StartMessage Open(int ranks);

    /// <exception cref="UsageException">The data set differs from the run's.</exception>
    public virtual void CheckData(RunData data)
    {
    }

    /// <summary>Creates or restores the model of the first remaining phase.</summary>
    public abstract PreparedModel Build(Device device, RunData data, ProcessGroup processGroup);

    /// <summary>Prepares the run's folder, including <see cref="CheckpointFile"/>.</summary>
    public abstract RunFolder Commit(PreparedModel model, RunData data);

    public void Dispose() => RunLock?.Dispose();
}

/// <summary>A new run.</summary>
/// <param name="read">Reads its settings; null: the configuration file does not exist on this rank's machine.</param>
/// <param name="folder">Its folder; null: the default.</param>
/// <param name="replace">Whether an existing run in the folder is replaced.</param>
internal sealed class NewRun(Func<Settings>? read, string? folder, bool replace) : RunOrigin
{
    private readonly DateTime _start = DateTime.Now;
    private string _path = "";
    private string? _initialFile;
    private InitialWeights? _initial;

    public override bool Resumes => false;

    public override Settings? Read() => read is null ? null : Settings = read();

    public override StartMessage Open(int ranks)
    {
        RunFolder.Check(_path = folder ?? RunFolder.DefaultPath(Settings, _start), replace);
        _initialFile = InitialWeights.FileOf(Settings);
        return new StartMessage(SettingsWriter.Write(Settings), _path, Resumes);
    }

    public override PreparedModel Build(Device device, RunData data, ProcessGroup processGroup)
    {
        IReadOnlyList<TrainingPhase> phases = TrainingPhase.ForRun(Settings);
        foreach (TrainingPhase phase in phases)
        {
            RunModel.RequireMemory(phase.Settings.Meta, device); // a later phase's too, before hours of the first
        }

        ExitHeadNetwork? source = PhaseOneLoader.Load(Settings, device, data.Fingerprint);
        RunModel model = RunModel.Build(phases[0], data.Train.ClassCounts(), device, processGroup, source);
        _initial = _initialFile is null ? null : InitialWeights.Load(_initialFile, Settings, model.Network, data.Fingerprint);
        return new PreparedModel(phases, model) { Origin = _initial?.Line };
    }

    public override RunFolder Commit(PreparedModel model, RunData data)
    {
        string environment = EnvironmentReport.Json(
            Settings, Environment.GetCommandLineArgs()[1..], _start, data.Fingerprint, _initial?.Source, extends: null);
        var made = RunFolder.Create(_path, replace, environment, SettingsWriter.Write(Settings), out IDisposable hold);
        RunLock = hold;
        TrainingPhase phase = model.Phases[0];
        Checkpoint.Write(CheckpointFile = made.LatestCheckpoint, Settings, phase, model.Model.State, phase.EpochsBefore);
        return made;
    }
}

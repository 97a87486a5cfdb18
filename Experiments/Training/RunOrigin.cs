using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>
/// The origin of a run: a configuration (new run) or a run folder (resumed run). Rank 0 calls all members, in this order; other ranks only
/// <see cref="Read"/>.
/// </summary>
internal abstract class RunOrigin : IDisposable
{
    /// <summary>Whether a run is resumed.</summary>
    public abstract bool Resumes { get; }

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
    /// <exception cref="UsageException">It does not exist, or its folder is in use.</exception>
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
/// <param name="read">Reads its settings; returns null if the configuration file does not exist on this rank's machine.</param>
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
            RunModel.RequireMemory(phase.Settings.Meta, device); // of a later phase before hours of the first
        }

        ExitHeadNetwork? source = PhaseOneLoader.Load(Settings, device, data.Fingerprint);
        RunModel model = RunModel.Build(phases[0], data.Train.ClassCounts(), device, processGroup, source);
        _initial = _initialFile is null ? null : InitialWeights.Load(_initialFile, Settings, model.Network);
        return new PreparedModel(phases, model) { Origin = _initial?.Line };
    }

    public override RunFolder Commit(PreparedModel model, RunData data)
    {
        string environment = EnvironmentReport.Json(
            Settings, Environment.GetCommandLineArgs()[1..], _start, data.Fingerprint, _initial?.Source);
        var made = RunFolder.Create(_path, replace, environment, SettingsWriter.Write(Settings), out IDisposable hold);
        RunLock = hold;
        TrainingPhase phase = model.Phases[0];
        Checkpoint.Write(CheckpointFile = made.LatestCheckpoint, Settings, phase, model.Model.State, phase.EpochsBefore);
        return made;
    }
}

/// <summary>A run resumed from its latest checkpoint.</summary>
/// <param name="path">Its folder.</param>
/// <param name="refuseChanges">Throws if the command line would change the run.</param>
internal sealed class ResumedRun(string path, Action refuseChanges) : RunOrigin
{
    private RunFolder _folder = null!;
    private Checkpoint.CheckpointContent _checkpoint = null!;

    public override bool Resumes => true;

    public override Settings? Read()
    {
        refuseChanges();
        return null;
    }

    public override StartMessage Open(int ranks)
    {
        _folder = RunFolder.Open(path);
        RunLock = _folder.Acquire();
        (CheckpointFile, _checkpoint) = Checkpoint.Latest(_folder, warning => Console.Error.WriteLine($"warning: {warning}"));
        Settings = _checkpoint.Settings;
        CheckUnchanged(ranks);
        return new StartMessage(SettingsWriter.Write(Settings), _folder.Path, Resumes);
    }

    public override void CheckData(RunData data)
    {
        if (data.Fingerprint is not null && EnvironmentReport.ReadFingerprint(_folder.Environment) is null)
        {
            Console.Error.WriteLine(
                $"warning: {_folder.Environment} does not record which files the run started with; if they have changed, results will "
                    + "differ");
        }

        Demand(
            !_folder.HasDifferentData(data.Fingerprint),
            $"the data set's files differ from those that {_folder.Path} started with (added, removed, renamed or "
                + "changed), so training and validation images would be mixed up; restore the files, or give a folder that has them "
                + "with --data");
    }

    public override PreparedModel Build(Device device, RunData data, ProcessGroup processGroup)
        => PreparedModel.From(_checkpoint, CheckpointFile, data, device, processGroup);

    public override RunFolder Commit(PreparedModel model, RunData data)
    {
        _folder.DiscardAfter(_checkpoint.Epochs);
        if (_checkpoint.Epochs < model.Phases[^1].LastEpoch)
        {
            _folder.RemoveEvaluation();
        }

        return _folder;
    }

    private void CheckUnchanged(int ranks)
    {
        Demand(
            _checkpoint.IsCurrentFormat,
            $"{CheckpointFile} was written by an earlier version of imta, which can resume it; "
            + "this version can evaluate it (imta eval) or use it as phase I (phase2.from)");
        Demand(
            !File.Exists(_folder.Config) || File.ReadAllText(_folder.Config).ReplaceLineEndings("\n") == SettingsWriter.Write(Settings),
            $"{_folder.Config} was changed after the run started, and a running configuration must not change; "
            + $"undo the change, or start a new run: {SelfProcess.CommandLine("train", _folder.Config, "--out", "DIR")}");
        string had = Settings.Processes == 1 ? "one process" : $"{Settings.Processes} ranks";
        Demand(
            Settings.Processes == ranks,
            FormattableString.Invariant($"{_folder.Path} is trained with {had}, but the launcher started {ranks}; ")
            + FormattableString.Invariant($"start {Settings.Processes}, so that its results stay the same"));
    }

    private static void Demand(bool condition, string problem)
    {
        if (!condition)
        {
            throw new UsageException(problem);
        }
    }
}

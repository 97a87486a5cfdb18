using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>Where a run comes from: a configuration, or the folder of a run that is resumed. Rank 0 calls all of it, in this order; other ranks <see cref="Read"/>.</summary>
internal abstract class RunOrigin : IDisposable
{
    /// <summary>Whether a run is resumed.</summary>
    public abstract bool Resumes { get; }

    /// <summary>The run's settings, once it is open.</summary>
    public Settings Settings { get; protected set; } = null!;

    /// <summary>The checkpoint that all ranks start from, once the run's folder is there.</summary>
    public string CheckpointFile { get; protected set; } = "";

    /// <summary>Keeps other processes from training in the run's folder.</summary>
    protected IDisposable? Hold { get; set; }

    /// <summary>What this rank's own command line says; null: it takes rank 0's settings.</summary>
    /// <exception cref="UsageException">It is wrong.</exception>
    public abstract Settings? Read();

    /// <summary>Finds the run; nothing is written.</summary>
    /// <param name="ranks">How many train it.</param>
    /// <exception cref="UsageException">There is none, or its folder is taken.</exception>
    public abstract StartMessage Open(int ranks);

    /// <exception cref="UsageException">The images are not the run's.</exception>
    public virtual void CheckData(RunData data)
    {
    }

    /// <summary>The model that the first phase left trains.</summary>
    public abstract PreparedModel Build(Device device, RunData data, Replicas replicas);

    /// <summary>Makes the run's folder ready, with <see cref="CheckpointFile"/>.</summary>
    public abstract RunFolder Commit(PreparedModel model, RunData data);

    public void Dispose() => Hold?.Dispose();
}

/// <summary>A run that starts.</summary>
/// <param name="read">Reads its settings; null: this rank's machine does not have the configuration's file.</param>
/// <param name="folder">Its folder; null: the default.</param>
/// <param name="replace">Whether a run that the folder holds is replaced.</param>
internal sealed class NewRun(Func<Settings>? read, string? folder, bool replace) : RunOrigin
{
    private readonly DateTime _start = DateTime.Now;
    private string _path = "";

    public override bool Resumes => false;

    public override Settings? Read() => read is null ? null : Settings = read();

    public override StartMessage Open(int ranks)
    {
        RunFolder.Check(_path = folder ?? RunFolder.DefaultPath(Settings, _start), replace);
        return new StartMessage(SettingsWriter.Write(Settings), _path, Resumes);
    }

    public override PreparedModel Build(Device device, RunData data, Replicas replicas)
    {
        IReadOnlyList<TrainingPhase> phases = TrainingPhase.Of(Settings);
        HeadedNetwork? source = PhaseOneSource.Load(Settings, device, data.Fingerprint);
        return new PreparedModel(phases, RunModel.Build(phases[0], data.Train.ClassCounts(), device, replicas, source));
    }

    public override RunFolder Commit(PreparedModel model, RunData data)
    {
        var made = RunFolder.Create(_path, replace, SettingsWriter.Write(Settings), out IDisposable hold);
        Hold = hold;
        string environment = EnvironmentReport.Json(Settings, Environment.GetCommandLineArgs()[1..], _start, data.Fingerprint);
        AtomicFile.WriteText(made.Environment, environment);
        TrainingPhase phase = model.Phases[0];
        Checkpoint.Write(CheckpointFile = made.LatestCheckpoint, Settings, phase, model.Model.State, phase.EpochsBefore);
        return made;
    }
}

/// <summary>A run that is resumed after its latest checkpoint.</summary>
/// <param name="path">Its folder.</param>
/// <param name="refuseChanges">Throws where the command line would change the run.</param>
internal sealed class ResumedRun(string path, Action refuseChanges) : RunOrigin
{
    private RunFolder _folder = null!;
    private Checkpoint.Content _checkpoint = null!;

    public override bool Resumes => true;

    public override Settings? Read()
    {
        refuseChanges();
        return null;
    }

    public override StartMessage Open(int ranks)
    {
        _folder = RunFolder.Open(path);
        Hold = _folder.Hold();
        (CheckpointFile, _checkpoint) = Checkpoint.Latest(_folder, warning => Console.Error.WriteLine($"warning: {warning}"));
        Settings = _checkpoint.Settings;
        CheckUnchanged(ranks);
        return new StartMessage(SettingsWriter.Write(Settings), _folder.Path, Resumes);
    }

    public override void CheckData(RunData data)
    {
        if (data.Fingerprint is not null && EnvironmentReport.ImagesOf(_folder.Environment) is null)
        {
            Console.Error.WriteLine(
                $"warning: {_folder.Environment} does not say with which files the run started; if they are others now, it goes on to other numbers");
        }

        Demand(
            !_folder.StartedWithOthers(data.Fingerprint),
            $"the data set's files are others than when {_folder.Path} started (added, removed or renamed), so that training and validation "
            + "pictures would change places; put them back, or name a folder that has them by --data");
    }

    public override PreparedModel Build(Device device, RunData data, Replicas replicas)
        => PreparedModel.From(_checkpoint, CheckpointFile, data, device, replicas);

    public override RunFolder Commit(PreparedModel model, RunData data)
    {
        _folder.KeepThrough(_checkpoint.Epochs);
        if (_checkpoint.Epochs < model.Phases[^1].LastEpoch)
        {
            _folder.RemoveTest();
        }

        return _folder;
    }

    private void CheckUnchanged(int ranks)
    {
        Demand(
            _checkpoint.IsPresentFormat,
            $"{CheckpointFile} is of an earlier version of imta, which can go on with it; "
            + "this one can evaluate it (imta eval) or take it as phase I (phase2.from)");
        Demand(
            !File.Exists(_folder.Config) || File.ReadAllText(_folder.Config) == SettingsWriter.Write(Settings),
            $"{_folder.Config} was changed since the run started, and a run is not changed half-way; "
            + $"undo that, or start another run: imta train {_folder.Config} --out DIR");
        string had = Settings.Processes == 1 ? "one process" : $"{Settings.Processes} ranks";
        Demand(
            Settings.Processes == ranks,
            FormattableString.Invariant($"{_folder.Path} is trained by {had}, and the launcher started {ranks}; ")
            + FormattableString.Invariant($"start {Settings.Processes}, so that its numbers stay the same"));
    }

    private static void Demand(bool condition, string problem)
    {
        if (!condition)
        {
            throw new UsageException(problem);
        }
    }
}

using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>A run that resumes from a checkpoint in a run's folder, on the same data and with as many ranks.</summary>
/// <param name="refuseChanges">Throws if the command line would change the run.</param>
internal abstract class ContinuedRun(Action refuseChanges) : RunOrigin
{
    public override string? EpochsTable => Folder.Epochs;

    /// <summary>The folder of the run.</summary>
    protected RunFolder Folder { get; set; } = null!;

    /// <summary>The checkpoint that it resumes from.</summary>
    protected Checkpoint.CheckpointContent State { get; set; } = null!;

    public override Settings? Read()
    {
        refuseChanges();
        return null;
    }

    public override void CheckData(RunData data)
    {
        if (data.Fingerprint is not null && EnvironmentReport.ReadFingerprint(Folder.Environment) is null)
        {
            Console.Error.WriteLine(
                $"warning: {Folder.Environment} does not record which files the run started with; if they have changed, results will "
                    + "differ");
        }

        Demand(
            !Folder.HasDifferentData(data.Fingerprint),
            $"the data set's files differ from those that {Folder.Path} started with (added, removed, renamed or "
                + "changed), so training and validation images would be mixed up; restore the files, or give a folder that has them "
                + "with --data");
    }

    public override PreparedModel Build(Device device, RunData data, ProcessGroup processGroup)
        => PreparedModel.From(State, CheckpointFile, data, device, processGroup);

    /// <exception cref="UsageException">The run cannot resume as it was.</exception>
    protected void CheckUnchanged(int ranks)
    {
        Demand(
            State.IsCurrentFormat,
            $"{CheckpointFile} was written by an earlier version of imta, which can resume it; "
            + "this version can evaluate it (imta eval) or use it as phase I (phase2.from)");
        Demand(
            !File.Exists(Folder.Config) || SettingsLoader.Load(Folder.Config) == State.Settings,
            $"{Folder.Config} was changed after the run started, and a run's configuration must not change; "
            + $"undo the change, or start a new run: {SelfProcess.CommandLine("train", Folder.Config, "--out", "DIR")}");
        int had = State.Settings.Processes;
        string trained = had == 1 ? "one process" : FormattableString.Invariant($"{had} ranks");
        Demand(
            had == ranks,
            FormattableString.Invariant($"{Folder.Path} is trained with {trained}, but the launcher started {ranks}; ")
            + FormattableString.Invariant($"start {had}, so that its results stay the same"));
    }

    protected static void Demand(bool condition, string problem)
    {
        if (!condition)
        {
            throw new UsageException(problem);
        }
    }
}

/// <summary>A run resumed from its latest checkpoint.</summary>
/// <param name="path">Its folder.</param>
/// <param name="refuseChanges">Throws if the command line would change the run.</param>
internal sealed class ResumedRun(string path, Action refuseChanges) : ContinuedRun(refuseChanges)
{
    public override bool Resumes => true;

    public override StartMessage Open(int ranks)
    {
        Folder = RunFolder.Open(path);
        RunLock = Folder.Acquire();
        (CheckpointFile, State) = Checkpoint.Latest(Folder, warning => Console.Error.WriteLine($"warning: {warning}"));
        Settings = State.Settings;
        CheckUnchanged(ranks);
        return new StartMessage(SettingsWriter.Write(Settings), Folder.Path, Resumes);
    }

    public override RunFolder Commit(PreparedModel model, RunData data)
    {
        Folder.DiscardAfter(State.Epochs);
        if (State.Epochs < model.Phases[^1].LastEpoch)
        {
            Folder.RemoveEvaluation();
        }

        EnvironmentReport.AddSession(Folder.Environment, State.Epochs);
        return Folder;
    }
}

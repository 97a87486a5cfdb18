using System.Globalization;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training.Distributed;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta.Optimisers;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>A finished run that continues for more epochs of its last phase, in a folder of its own.</summary>
/// <param name="source">The finished run's folder.</param>
/// <param name="epochs">The number of additional epochs.</param>
/// <param name="folder">The new run's folder; null: the default.</param>
/// <param name="replace">Whether an existing run there is replaced.</param>
/// <param name="refuseChanges">Throws if the command line would change anything else.</param>
internal sealed class ExtendedRun(string source, int epochs, string? folder, bool replace, Action refuseChanges)
    : ContinuedRun(refuseChanges)
{
    private readonly DateTime _start = DateTime.Now;
    private string _path = "";

    public override bool Resumes => false;

    /// <summary>The folder of the run that is to be extended.</summary>
    /// <exception cref="UsageException">It is not a run folder.</exception>
    public static RunFolder Find(string source) => RunFolder.Find(source)
        ?? throw new UsageException($"{source} is not a run folder (it has no config.yaml); --extend needs one");

    public override StartMessage Open(int ranks)
    {
        Folder = Find(source);
        RunLock = Acquired(Folder);
        State = Checkpoint.Read(CheckpointFile = RunFolder.CheckpointOf(source));
        CheckUnchanged(ranks);
        TrainingPhase last = TrainingPhase.ForRun(State.Settings)[^1];
        Demand(
            State.Epochs == last.LastEpoch && State.Progress is null,
            FormattableString.Invariant($"{source} is not finished ({State.Epochs} of {last.LastEpoch} epochs are done); finish it first: ")
                + SelfProcess.CommandLine("train", "--resume", source));
        string key = last.Number == 2 ? "phase2.epochs" : "train.epochs";
        string longer = ((long)last.Settings.Train.Epochs + epochs).ToString(CultureInfo.InvariantCulture);
        Settings = SettingsLoader.Parse(
            SettingsWriter.Write(State.Settings), source, [new SettingsOverride($"--add-epochs {epochs}", key, longer)]);
        State = State with { Settings = Settings };
        _path = folder ?? RunFolder.DefaultPath(Settings, _start);
        Demand(
            FolderOf(_path) != FolderOf(source),
            $"--out is {_path}, the run that is to be extended, which stays as it is; choose another folder");
        RunFolder.Check(_path, replace);
        return new StartMessage(SettingsWriter.Write(Settings), _path, Resumes);
    }

    public override PreparedModel Build(Device device, RunData data, ProcessGroup processGroup)
        => base.Build(device, data, processGroup) with
        {
            Origin = Line(data.Train.Count),
            CopiedBytes = Files(new RunFolder(_path)).Sum(file => new FileInfo(file.From).Length)
                + new FileInfo(CheckpointFile).Length, // the previous one, which is not copied but will be written
        };

    public override RunFolder Commit(PreparedModel model, RunData data)
    {
        string environment = EnvironmentReport.Json(
            Settings, Environment.GetCommandLineArgs()[1..], _start, data.Fingerprint,
            EnvironmentReport.ReadInitialWeights(Folder.Environment), new ExtendedFrom(Path.GetFullPath(source), State.Epochs));
        RunFolder made = RunFolder.Create(_path, replace, environment, SettingsWriter.Write(Settings), out IDisposable hold);
        using IDisposable? ofSource = RunLock; // until all is copied
        RunLock = hold;
        foreach ((string from, string to, Action<string, string> copy) in Files(made))
        {
            copy(from, to);
        }

        CheckpointFile = made.LatestCheckpoint;
        return made;
    }

    /// <summary>Keeps the source from being resumed or replaced meanwhile; null: it is read-only here.</summary>
    private static IDisposable? Acquired(RunFolder folder)
    {
        try
        {
            return folder.Acquire();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>The folder that a path leads to, with links followed.</summary>
    private static string FolderOf(string path)
    {
        string folder = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        return Directory.Exists(folder) ? Directory.ResolveLinkTarget(folder, returnFinalTarget: true)?.FullName ?? folder : folder;
    }

    /// <summary>Copies the content alone: an archived run's files may be read-only.</summary>
    private static void Copy(string from, string to)
    {
        using FileStream source = File.OpenRead(from), target = File.Create(to);
        source.CopyTo(target);
    }

    /// <summary>
    /// The files to continue from: tables, sample weights except those written only because the run ended, and checkpoints, the latest
    /// last: without it there is nothing to resume.
    /// </summary>
    private IEnumerable<(string From, string To, Action<string, string> Copy)> Files(RunFolder made)
    {
        int every = Settings.Export.WeightsEvery;
        IEnumerable<(string From, string To)> tables = Enumerable.Range(1, State.Epochs)
            .Where(epoch => epoch < State.Epochs || (every > 0 && epoch % every == 0))
            .Select(epoch => (Folder.Weights(epoch), made.Weights(epoch)))
            .Append((Folder.Epochs, made.Epochs)).Append((Folder.Timing, made.Timing));
        IEnumerable<(string From, string To)> checkpoints = Enumerable.Range(1, State.Epochs)
            .Select(epoch => (Folder.EpochCheckpoint(epoch), made.EpochCheckpoint(epoch)))
            .Append((Folder.BestCheckpoint, made.BestCheckpoint)).Append((Folder.PhaseOneCheckpoint, made.PhaseOneCheckpoint))
            .Append((CheckpointFile, made.LatestCheckpoint));
        return tables.Select(file => (file.From, file.To, (Action<string, string>)Copy))
            .Concat(checkpoints.Select(file => (file.From, file.To,
                (Action<string, string>)((from, to) => Checkpoint.Copy(from, to, Settings)))))
            .Where(file => File.Exists(file.From));
    }

    /// <summary>Where the run comes from, and how its learning rate continues.</summary>
    /// <param name="images">Training images.</param>
    private string Line(int images)
    {
        TrainingPhase last = TrainingPhase.ForRun(Settings)[^1];
        TrainOptions train = last.Settings.Train;
        double rate = train.Rate * RateSchedule.Factor(train, train.Epochs - epochs, 0, Math.Max(1, images / train.Batch));
        string schedule = train.Schedule == RateScheduleKind.Cosine
            ? FormattableString.Invariant($"the cosine schedule spans {train.Epochs} epochs, so")
            : "milestones are unchanged;";
        return FormattableString.Invariant($"extends {source} after epoch {State.Epochs} to epoch {last.LastEpoch}: {schedule} ")
            + FormattableString.Invariant($"the learning rate resumes at {rate:G4}")
            + (last.Settings.Loss.ClassWeights is { Type: not ClassWeighting.None, After: > 0 and var share }
                ? FormattableString.Invariant($"; class weights apply in the last {1 - share:0.###} of the {train.Epochs} epochs")
                : "");
    }
}

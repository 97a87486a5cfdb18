using System.Globalization;
using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Experiments.Runs;

/// <summary>The folder of a run and the paths in it.</summary>
/// <param name="path">Its path; nothing has to exist there.</param>
internal sealed class RunFolder(string path)
{
    public const string EventFiles = "events.out.tfevents.*"; // TensorBoard's names
    public string Path => path;

    public string Config => In("config.yaml");

    public string Environment => In("environment.json");

    public string Epochs => In("epochs.csv");

    public string Timing => In("timing.csv");

    public string Cost => In("cost.csv");

    public string Log => In("log.txt");

    public string TensorBoard => In("tensorboard");

    /// <summary>The tables of the evaluation.</summary>
    public EvaluationFiles Evaluation => new(Path);

    /// <summary>The checkpoint at the end of phase I, in a run of two phases.</summary>
    public string PhaseOneCheckpoint => In("checkpoints", "phase1.pt");

    public string LatestCheckpoint => In("checkpoints", "latest.pt");

    /// <summary>The previous checkpoint, in case the latest is damaged.</summary>
    public string PreviousCheckpoint => In("checkpoints", "previous.pt");

    /// <summary>A latest checkpoint that could not be read.</summary>
    public string DamagedCheckpoint => LatestCheckpoint + ".damaged";

    /// <summary>The checkpoint of the best epoch on the validation set (<c>run.bestBy</c>).</summary>
    public string BestCheckpoint => In("checkpoints", "best.pt");

    /// <summary>The newest checkpoint to resume from; null: there is none.</summary>
    private string? Newest => new[] { LatestCheckpoint, PreviousCheckpoint }.FirstOrDefault(File.Exists);

    /// <summary>The last of the checkpoints that are kept, or the best epoch's; null: there is none.</summary>
    private string? OtherCheckpoint => EpochsWith(EpochCheckpoint).OrderDescending().Select(EpochCheckpoint).Append(BestCheckpoint)
        .FirstOrDefault(File.Exists);

    /// <summary>The default path: <c>runs/NAME-sSEED-START</c> in the current folder, where NAME is the configuration's.</summary>
    public static string DefaultPath(Settings settings, DateTime start) => System.IO.Path.Combine(
        "runs", string.Create(CultureInfo.InvariantCulture, $"{settings.Name}-s{settings.Seed}-{start:yyyyMMdd-HHmmss}"));

    /// <summary>Creates the folder of a new run.</summary>
    /// <param name="path">The path of the folder.</param>
    /// <param name="replace">Whether to replace an existing run.</param>
    /// <param name="environment">The run's environment: the first file written, which marks the folder as a run.</param>
    /// <param name="config">Its configuration.</param>
    /// <param name="held">Keeps other processes from training in the folder until disposed.</param>
    /// <exception cref="UsageException">The folder is in use, has content that is not to be replaced, or cannot be written.</exception>
    public static RunFolder Create(string path, bool replace, string environment, string config, out IDisposable held)
    {
        Check(path, replace);
        var folder = new RunFolder(path);
        Guarded(path, () => Directory.CreateDirectory(path));
        held = folder.Acquire();
        Guarded(path, () =>
        {
            Remove([.. folder.Replaced, .. folder.Replaced.Select(file => file + AtomicFile.Suffix)]);
            AtomicFile.WriteText(folder.Environment, environment);
            AtomicFile.WriteText(folder.Config, config);
            Directory.CreateDirectory(folder.In("checkpoints"));
            Directory.CreateDirectory(folder.In("weights"));
        });
        return folder;
    }

    /// <summary>Checks that <see cref="Create"/> would succeed, without changing anything.</summary>
    /// <exception cref="UsageException">It would fail.</exception>
    public static void Check(string path, bool replace)
    {
        AtomicFile.CheckName(path);
        if (File.Exists(path))
        {
            throw new UsageException($"{path} is a file, but a run needs a folder; choose another path with --out");
        }

        bool held = false, taken = false;
        Guarded(path, () => (held, taken) = (FolderLock.IsLocked(path), Directory.Exists(path) && !FolderLock.IsEmpty(path)));
        if (held)
        {
            throw new UsageException(
                $"{path} is being trained by another process; wait for it, stop it, or choose another folder with --out");
        }

        if (taken && !EnvironmentReport.IsOfRun(new RunFolder(path).Environment))
        {
            throw new UsageException($"{path} is not empty and is not a run folder; choose another folder with --out");
        }

        if (taken && !replace)
        {
            throw new UsageException($"{path} already contains a run; choose another folder with --out, replace the run with --force, "
                + $"or resume it: {SelfProcess.CommandLine("train", "--resume", path)}");
        }

        Guarded(path, () => AtomicFile.Probe(path));
    }

    /// <summary>The folder of a run; null if it is not one, because it has no configuration.</summary>
    public static RunFolder? Find(string path)
    {
        var folder = new RunFolder(path);
        return File.Exists(folder.Config) ? folder : null;
    }

    /// <summary>The run folder whose <c>checkpoints</c> folder contains a file; null if there is none.</summary>
    public static RunFolder? Containing(string checkpoint)
        => Directory.GetParent(checkpoint) is { Name: "checkpoints", Parent: { } folder } ? Find(folder.FullName) : null;

    /// <summary>Whether only <c>train</c> may write a file: configuration, environment, log, and the tables of training.</summary>
    /// <param name="file">Its full path.</param>
    public bool OnlyTrainingWrites(string file)
        => new[] { Config, Environment, Log, Epochs, Timing }.Any(own => System.IO.Path.GetFullPath(own) == file);

    /// <summary>Whether a folder has a checkpoint to resume from.</summary>
    public static bool CanResume(string path) => new RunFolder(path).Newest is not null;

    /// <summary>Keeps other processes from training in the folder until the result is disposed.</summary>
    /// <param name="otherwise">What else the user can do, at the end of the message.</param>
    /// <exception cref="UsageException">Another process is already training in it.</exception>
    public IDisposable Acquire(string otherwise = "or stop it") => FolderLock.TryAcquire(Path)
        ?? throw new UsageException($"{Path} is being trained by another process; wait for it, {otherwise}");

    /// <summary>The folder of an existing run that is to be resumed.</summary>
    /// <exception cref="UsageException">It does not exist, has no checkpoint to resume from, or cannot be written.</exception>
    public static RunFolder Open(string path)
    {
        var folder = new RunFolder(path);
        if (!Directory.Exists(path))
        {
            throw new UsageException($"{path} is not a folder; --resume needs a run folder");
        }

        if (!CanResume(path))
        {
            throw new UsageException(folder.OtherCheckpoint is { } other
                ? $"{path} has no checkpoints/latest.pt to resume from; to continue from {other}, copy it to {folder.LatestCheckpoint}"
                : $"{path} has no checkpoints/latest.pt to resume from; --resume needs a run folder");
        }

        Guarded(path, () => AtomicFile.Probe(path));
        return folder;
    }

    /// <summary>A run's latest checkpoint, or the file itself.</summary>
    /// <param name="source">A run folder or a checkpoint.</param>
    /// <exception cref="UsageException">It does not exist, or the folder has no such checkpoint.</exception>
    public static string CheckpointOf(string source)
    {
        if (!Directory.Exists(source))
        {
            return File.Exists(source) ? source : throw new UsageException($"{source} does not exist; give a run folder, or a checkpoint");
        }

        var folder = new RunFolder(source);
        return folder.Newest ?? throw new UsageException($"{source} has no checkpoints/latest.pt; "
            + (folder.OtherCheckpoint is { } other ? $"use {other} instead" : "expected a run folder, or a checkpoint"));
    }

    /// <summary>The checkpoint of the network trained in a run's only phase or phase I.</summary>
    /// <exception cref="UsageException">It does not exist.</exception>
    public static string NetworkOf(string path)
    {
        var folder = new RunFolder(path);
        return (File.Exists(folder.PhaseOneCheckpoint) ? folder.PhaseOneCheckpoint : folder.Newest)
            ?? throw new UsageException($"{path} has no checkpoints/phase1.pt or latest.pt; expected a run folder");
    }

    /// <summary>Whether the run started with a different data set.</summary>
    /// <param name="fingerprint">The fingerprint of the current one (<see cref="Data.RunData.Fingerprint"/>).</param>
    public bool HasDifferentData(string? fingerprint)
        => fingerprint is not null && EnvironmentReport.ReadFingerprint(Environment) is { } then && then != fingerprint;

    /// <summary>Removes what was written after an epoch, and files that were being written when a run was killed.</summary>
    public void DiscardAfter(int epoch)
    {
        CsvTable.TruncateAfter(Epochs, epoch);
        CsvTable.TruncateAfter(Timing, epoch);
        Remove([
            .. EpochsWith(Weights).Where(number => number > epoch).Select(Weights),
            .. Replaced.Append(Config).Append(Environment).Select(file => file + AtomicFile.Suffix),
        ]);
    }

    /// <summary>Removes what the evaluation and <c>imta calibrate</c> wrote for an earlier epoch's network.</summary>
    public void RemoveEvaluation() => Remove(Evaluation.All);

    /// <summary>A checkpoint that is kept (<c>run.checkpointEvery</c>).</summary>
    public string EpochCheckpoint(int epoch) => In("checkpoints", string.Create(CultureInfo.InvariantCulture, $"epoch-{epoch:0000}.pt"));

    public string Weights(int epoch) => In("weights", string.Create(CultureInfo.InvariantCulture, $"epoch-{epoch:0000}.csv"));

    /// <summary>
    /// What a run writes, except the two files that a new run writes first; whatever else a user keeps in the folder is left alone.
    /// Checkpoints come first: a run without tables must not be resumable.
    /// </summary>
    private IEnumerable<string> Replaced =>
    [
        LatestCheckpoint, PreviousCheckpoint, BestCheckpoint, PhaseOneCheckpoint, DamagedCheckpoint,
        .. EpochsWith(EpochCheckpoint).Select(EpochCheckpoint), .. EpochsWith(Weights).Select(Weights),
        Epochs, Timing, Cost, Log, .. Evaluation.All,
        .. Directory.Exists(TensorBoard) ? Directory.GetFiles(TensorBoard, EventFiles) : [],
    ];

    /// <summary>The epochs that have such a file, complete or partial; other files may have such a number too.</summary>
    private static IEnumerable<int> EpochsWith(Func<int, string> pathOf) => System.IO.Path.GetDirectoryName(pathOf(0)) is { } folder
        && Directory.Exists(folder)
            ? Directory.EnumerateFiles(folder, "epoch-*").Select(NumberOf).Where(number => number >= 0)
            : [];

    private static int NumberOf(string file)
    {
        string digits = System.IO.Path.GetFileName(file)["epoch-".Length..].Split('.')[0];
        return int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : -1;
    }

    private static void Remove(IEnumerable<string> files)
    {
        foreach (string file in files.Where(File.Exists))
        {
            File.Delete(file);
        }
    }

    private string In(params string[] segments) => System.IO.Path.Combine([Path, .. segments]);

    private static void Guarded(string path, Action action)
    {
        try
        {
            action();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new UsageException($"{path} cannot be written ({e.Message.TrimEnd('.')}); choose another folder with --out", e);
        }
    }
}

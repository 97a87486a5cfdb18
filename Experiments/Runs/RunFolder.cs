using System.Globalization;
using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Experiments.Runs;

/// <summary>The folder of a run and the paths in it.</summary>
/// <param name="path">Where; nothing has to be there.</param>
internal sealed class RunFolder(string path)
{
    public string Path => path;

    public string Config => In("config.yaml");

    public string Environment => In("environment.json");

    public string Epochs => In("epochs.csv");

    public string Timing => In("timing.csv");

    public string Cost => In("cost.csv");

    public string Log => In("log.txt");

    /// <summary>The tables of the evaluation.</summary>
    public EvaluationFiles Evaluation => new(Path);

    /// <summary>The end of phase I, in a run of two phases.</summary>
    public string PhaseOneCheckpoint => In("checkpoints", "phase1.pt");

    public string LatestCheckpoint => In("checkpoints", "latest.pt");

    /// <summary>The previous checkpoint, in case the latest is damaged.</summary>
    public string PreviousCheckpoint => In("checkpoints", "previous.pt");

    /// <summary>The checkpoint of the best epoch on the validation set (<c>run.bestBy</c>).</summary>
    public string BestCheckpoint => In("checkpoints", "best.pt");

    /// <summary>The newest checkpoint to go on from; null: there is none.</summary>
    private string? Newest => new[] { LatestCheckpoint, PreviousCheckpoint }.FirstOrDefault(File.Exists);

    /// <summary>The default path: <c>runs/NAME-sSEED-START</c> in the current folder, where NAME is the configuration's.</summary>
    public static string DefaultPath(Settings settings, DateTime start) => System.IO.Path.Combine(
        "runs", string.Create(CultureInfo.InvariantCulture, $"{settings.Name}-s{settings.Seed}-{start:yyyyMMdd-HHmmss}"));

    /// <summary>Creates the folder of a new run.</summary>
    /// <param name="path">The path of the folder.</param>
    /// <param name="replace">Whether to replace an existing run.</param>
    /// <param name="config">The run's configuration: the first file written, which marks the folder as a run.</param>
    /// <param name="held">Keeps other processes from training in it until it is disposed.</param>
    /// <exception cref="UsageException">The folder is not empty or cannot be written.</exception>
    public static RunFolder Create(string path, bool replace, string config, out IDisposable held)
    {
        Check(path, replace);
        var folder = new RunFolder(path);
        Guarded(path, () => Directory.CreateDirectory(path));
        held = folder.Acquire();
        Guarded(path, () =>
        {
            folder.RemoveRunFiles();
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

        if (taken && Find(path) is null)
        {
            throw new UsageException($"{path} is not empty and is not a run folder; choose another folder with --out");
        }

        if (taken && !replace)
        {
            throw new UsageException(
                $"{path} holds a run already; give another folder with --out, replace it with --force, "
                + $"or go on with it by --resume {path}");
        }

        Guarded(path, () => Probe(path));
    }

    /// <summary>The folder of a run; null if it is not one, because it has no configuration.</summary>
    public static RunFolder? Find(string path)
    {
        var folder = new RunFolder(path);
        return File.Exists(folder.Config) ? folder : null;
    }

    /// <summary>The run folder whose <c>checkpoints</c> folder contains a file; null if there is none.</summary>
    public static RunFolder? Containing(string checkpoint)
        => Directory.GetParent(checkpoint)?.Parent is { } folder ? Find(folder.FullName) : null;

    /// <summary>Whether a folder has a checkpoint to resume from.</summary>
    public static bool CanResume(string path) => new RunFolder(path).Newest is not null;

    /// <summary>Keeps other processes from training in the folder until the result is disposed.</summary>
    /// <exception cref="UsageException">Another process is already training in it.</exception>
    public IDisposable Acquire() => FolderLock.TryAcquire(Path)
        ?? throw new UsageException($"{Path} is being trained by another process; wait for it, or stop it");

    /// <summary>The folder of an existing run.</summary>
    /// <exception cref="UsageException">It does not exist.</exception>
    public static RunFolder Open(string path)
    {
        var folder = new RunFolder(path);
        if (!Directory.Exists(path))
        {
            throw new UsageException($"{path} is not a folder; --resume needs a run folder");
        }

        if (!CanResume(path))
        {
            throw new UsageException($"{path} has no checkpoints/latest.pt to resume from; --resume needs a run folder");
        }

        Guarded(path, () => Probe(path));
        return folder;
    }

    /// <summary>A run's latest checkpoint, or the file itself.</summary>
    /// <param name="source">A run folder or a checkpoint.</param>
    /// <exception cref="UsageException">It does not exist.</exception>
    public static string CheckpointOf(string source)
    {
        bool isFolder = Directory.Exists(source);
        return (isFolder ? new RunFolder(source).Newest : File.Exists(source) ? source : null) ?? throw new UsageException(isFolder
            ? $"{source} has no checkpoints/latest.pt; expected a run folder, or a checkpoint"
            : $"{source} is neither a run nor a checkpoint; give a run folder, or one of its checkpoints");
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

    /// <summary>Takes away what was written after an epoch, and files that were being written when a run was killed.</summary>
    public void DiscardAfter(int epoch)
    {
        CsvTable.TruncateAfter(Epochs, epoch);
        CsvTable.TruncateAfter(Timing, epoch);
        foreach (string file in Directory.EnumerateFiles(Path, "*" + AtomicFile.Suffix, SearchOption.AllDirectories))
        {
            File.Delete(file);
        }

        foreach (string file in Directory.Exists(In("weights")) ? Directory.EnumerateFiles(In("weights"), "epoch-*.csv") : [])
        {
            string number = System.IO.Path.GetFileNameWithoutExtension(file)["epoch-".Length..];
            if (int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out int of) && of > epoch)
            {
                File.Delete(file);
            }
        }
    }

    /// <summary>Takes away what <c>imta eval</c> and <c>imta calibrate</c> made of an earlier epoch's network.</summary>
    public void RemoveEvaluation() => Remove(Evaluation.All);

    /// <summary>A checkpoint that is kept (<c>run.checkpointEvery</c>).</summary>
    public string EpochCheckpoint(int epoch) => In("checkpoints", string.Create(CultureInfo.InvariantCulture, $"epoch-{epoch:0000}.pt"));

    public string Weights(int epoch) => In("weights", string.Create(CultureInfo.InvariantCulture, $"epoch-{epoch:0000}.csv"));

    /// <summary>
    /// Takes away what a run writes but the configuration, by which the folder is a run's; what else a user keeps there stays. Checkpoints
    /// go first: a run without tables must not be resumable.
    /// </summary>
    private void RemoveRunFiles()
    {
        foreach (string folder in new[] { In("checkpoints"), In("weights") }.Where(Directory.Exists))
        {
            Directory.Delete(folder, recursive: true);
        }

        Remove([Environment, Epochs, Timing, Cost, Log, .. Evaluation.All]);
    }

    private static void Remove(IEnumerable<string> files)
    {
        foreach (string file in files.Where(File.Exists))
        {
            File.Delete(file);
        }
    }

    private string In(params string[] halves) => System.IO.Path.Combine([Path, .. halves]);

    /// <summary>Writes and removes a test file in the nearest existing parent folder.</summary>
    private static void Probe(string path)
    {
        string? above = System.IO.Path.GetFullPath(path);
        while (above is not null && !Directory.Exists(above))
        {
            above = System.IO.Path.GetDirectoryName(above);
        }

        string probe = System.IO.Path.Combine(above ?? ".", System.IO.Path.GetRandomFileName());
        using (File.Create(probe, 1, FileOptions.DeleteOnClose))
        {
        }
    }

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

using System.Globalization;
using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Experiments.Runs;

/// <summary>The folder of one run and the places in it.</summary>
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
    public TestFiles Test => new(Path);

    /// <summary>The end of phase I, in a run of two phases.</summary>
    public string PhaseOneCheckpoint => In("checkpoints", "phase1.pt");

    public string LatestCheckpoint => In("checkpoints", "latest.pt");

    /// <summary>The one before, for the case that the latest is damaged.</summary>
    public string PreviousCheckpoint => In("checkpoints", "previous.pt");

    /// <summary>Of the epoch with the best validation (<c>run.bestBy</c>).</summary>
    public string BestCheckpoint => In("checkpoints", "best.pt");

    /// <summary>The newest checkpoint to go on from; null: there is none.</summary>
    private string? Newest => new[] { LatestCheckpoint, PreviousCheckpoint }.FirstOrDefault(File.Exists);

    /// <summary>The default place: <c>runs/NAME-sSEED-START</c> in the present folder, NAME the configuration's.</summary>
    public static string DefaultPath(Settings settings, DateTime start) => System.IO.Path.Combine(
        "runs", string.Create(CultureInfo.InvariantCulture, $"{settings.Name}-s{settings.Seed}-{start:yyyyMMdd-HHmmss}"));

    /// <summary>Makes the folder of a new run.</summary>
    /// <param name="path">Where.</param>
    /// <param name="replace">Whether a run that is there already goes.</param>
    /// <param name="config">The run's configuration: the first file, by which a folder is known as a run's.</param>
    /// <param name="held">Keeps other processes from training in it until it is disposed.</param>
    /// <exception cref="UsageException">Something is there already, or the folder cannot be written.</exception>
    public static RunFolder Create(string path, bool replace, string config, out IDisposable held)
    {
        Check(path, replace);
        var folder = new RunFolder(path);
        Guarded(path, () => Directory.CreateDirectory(path));
        held = folder.Hold();
        Guarded(path, () =>
        {
            folder.RemoveOwnFiles();
            AtomicFile.WriteText(folder.Config, config);
            Directory.CreateDirectory(folder.In("checkpoints"));
            Directory.CreateDirectory(folder.In("weights"));
        });
        return folder;
    }

    /// <summary>Whether <see cref="Create"/> would succeed, without changing anything that is there.</summary>
    /// <exception cref="UsageException">It would not.</exception>
    public static void Check(string path, bool replace)
    {
        if (File.Exists(path))
        {
            throw new UsageException($"{path} is a file; a run needs a folder: give another one with --out");
        }

        bool held = false, taken = false;
        Guarded(path, () => (held, taken) = (FolderLock.IsTaken(path), Directory.Exists(path) && !FolderLock.IsEmpty(path)));
        if (held)
        {
            throw new UsageException(
                $"{path} is a run that another process is training; wait for it, stop it, or give another folder with --out");
        }

        if (taken && Find(path) is null)
        {
            throw new UsageException($"{path} is not empty and holds no run; give another folder with --out");
        }

        if (taken && !replace)
        {
            throw new UsageException(
                $"{path} holds a run already; give another folder with --out, replace it with --force, "
                + $"or go on with it by --resume {path}");
        }

        Guarded(path, () => Probe(path));
    }

    /// <summary>The folder of a run, whatever else it has; null: this is none, for it has no configuration.</summary>
    public static RunFolder? Find(string path)
    {
        var folder = new RunFolder(path);
        return File.Exists(folder.Config) ? folder : null;
    }

    /// <summary>The folder of the run whose <c>checkpoints</c> a file lies in; null: it lies elsewhere.</summary>
    public static RunFolder? Around(string checkpoint)
        => Directory.GetParent(checkpoint)?.Parent is { } folder ? Find(folder.FullName) : null;

    /// <summary>Whether a folder has a checkpoint to go on from.</summary>
    public static bool CanGoOn(string path) => new RunFolder(path).Newest is not null;

    /// <summary>Keeps other processes from training in the folder until the result is disposed.</summary>
    /// <exception cref="UsageException">One does already.</exception>
    public IDisposable Hold() => FolderLock.Take(Path)
        ?? throw new UsageException($"{Path} is a run that another process is training; wait for it, or stop it");

    /// <summary>The folder of a run that is there.</summary>
    /// <exception cref="UsageException">There is none.</exception>
    public static RunFolder Open(string path)
    {
        var folder = new RunFolder(path);
        if (!Directory.Exists(path))
        {
            throw new UsageException($"{path} is no folder; --resume takes the folder of a run");
        }

        if (!CanGoOn(path))
        {
            throw new UsageException($"{path} has no checkpoints/latest.pt to resume from; --resume takes the folder of a run");
        }

        Guarded(path, () => Probe(path));
        return folder;
    }

    /// <summary>A run's latest checkpoint, or the file itself.</summary>
    /// <param name="source">The folder of a run, or a checkpoint.</param>
    /// <exception cref="UsageException">There is no such thing.</exception>
    public static string CheckpointOf(string source)
    {
        bool isFolder = Directory.Exists(source);
        return (isFolder ? new RunFolder(source).Newest : File.Exists(source) ? source : null) ?? throw new UsageException(isFolder
            ? $"{source} has no checkpoints/latest.pt; wanted the folder of a run, or a checkpoint"
            : $"there is no run or checkpoint {source}; give the folder of a run, or one of its checkpoints");
    }

    /// <summary>The checkpoint of the network that a run's only phase, or its phase I, trained.</summary>
    /// <exception cref="UsageException">There is none.</exception>
    public static string NetworkOf(string path)
    {
        var folder = new RunFolder(path);
        return (File.Exists(folder.PhaseOneCheckpoint) ? folder.PhaseOneCheckpoint : folder.Newest)
            ?? throw new UsageException($"{path} has no checkpoints/phase1.pt or latest.pt; wanted the folder of a run");
    }

    /// <summary>Whether the run started with other image files, or the same in another order.</summary>
    /// <param name="fingerprint">Of the files that are there now; null: the images are no files.</param>
    public bool StartedWithOthers(string? fingerprint)
        => fingerprint is not null && EnvironmentReport.ImagesOf(Environment) is { } then && then != fingerprint;

    /// <summary>Takes away what was written after an epoch, and files that were being written when a run was killed.</summary>
    public void KeepThrough(int epoch)
    {
        CsvTable.KeepThrough(Epochs, epoch);
        CsvTable.KeepThrough(Timing, epoch);
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
    public void RemoveTest() => Remove(Test.All);

    /// <summary>A checkpoint that is kept (<c>run.checkpointEvery</c>).</summary>
    public string EpochCheckpoint(int epoch) => In("checkpoints", string.Create(CultureInfo.InvariantCulture, $"epoch-{epoch:0000}.pt"));

    public string Weights(int epoch) => In("weights", string.Create(CultureInfo.InvariantCulture, $"epoch-{epoch:0000}.csv"));

    /// <summary>
    /// Takes away what a run writes but the configuration, by which the folder is a run's; what else a user keeps there stays. Checkpoints
    /// go first: nobody can go on with a run that lacks tables.
    /// </summary>
    private void RemoveOwnFiles()
    {
        foreach (string folder in new[] { In("checkpoints"), In("weights") }.Where(Directory.Exists))
        {
            Directory.Delete(folder, recursive: true);
        }

        Remove([Environment, Epochs, Timing, Cost, Log, .. Test.All]);
    }

    private static void Remove(IEnumerable<string> files)
    {
        foreach (string file in files.Where(File.Exists))
        {
            File.Delete(file);
        }
    }

    private string In(params string[] parts) => System.IO.Path.Combine([Path, .. parts]);

    /// <summary>Writes and removes a file in the nearest folder above that exists.</summary>
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
            throw new UsageException($"{path} cannot be written ({e.Message.TrimEnd('.')}); give another folder with --out", e);
        }
    }
}

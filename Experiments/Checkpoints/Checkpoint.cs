using System.IO.Compression;
using System.IO.Hashing;
using System.Runtime.InteropServices;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Checkpoints;

/// <summary>
/// All that a run needs to resume, as a PyTorch file: the state of its model by name (backbone <c>state_dict</c> and <c>optimizer</c>, WPN
/// <c>meta_state_dict</c> and <c>meta_optimizer</c>), the number of completed epochs, the progress of the next one, the random state and
/// the configuration. Every random number follows from the seed, its purpose and the epoch and batch it is for, so the random state is
/// the seed.
/// </summary>
internal static class Checkpoint
{
    private const long Format = 8;
    private const long OldestFormat = 2; // formats up to 7 have fewer settings and tables

    /// <param name="path">The file to write.</param>
    /// <param name="settings">The run's settings.</param>
    /// <param name="phase">Its current phase.</param>
    /// <param name="state">The state of what the phase trains.</param>
    /// <param name="epochs">Completed epochs of the run.</param>
    /// <param name="progress">The progress of the next epoch; null: it has not begun.</param>
    /// <param name="previous">The backup path for the replaced file; null: it is not kept.</param>
    public static void Write(
        string path, Settings settings, TrainingPhase phase, StateTree state, int epochs,
        StateTree? progress = null, string? previous = null)
    {
        using DisposeScope scope = NewDisposeScope();
        var content = new TorchDictionary
        {
            ["format"] = Format,
            ["epoch"] = epochs,
            ["phase"] = phase.Number,
            ["progress"] = progress is null ? TorchNone.Value : StateFormat.Write(progress),
            ["random"] = new TorchDictionary { ["seed"] = settings.Seed },
            ["config"] = SettingsWriter.Write(settings),
        };
        foreach ((TorchKey name, TorchValue part) in StateFormat.Write(state).Entries)
        {
            content.Entries.Add(name, part);
        }

        TorchFileWriter.Write(path, content, previous);
    }

    /// <summary>Copies a checkpoint for a run with other settings.</summary>
    public static void Copy(string from, string to, Settings settings)
    {
        using DisposeScope scope = NewDisposeScope();
        TorchDictionary content = TorchFileReader.Read(from);
        content["config"] = SettingsWriter.Write(settings);
        TorchFileWriter.Write(to, content);
    }

    /// <summary>Reads a checkpoint; its tensors belong to the enclosing dispose scope.</summary>
    /// <exception cref="UsageException">It is damaged or of an unsupported format.</exception>
    public static CheckpointContent Read(string path)
    {
        try
        {
            VerifyCrc(path);
            TorchDictionary content = TorchFileReader.Read(path);
            if (content.Find<TorchInteger>("format") is not TorchInteger(var format))
            {
                throw new UsageException(
                    $"{path} is not a checkpoint of imta train; convert it: "
                    + SelfProcess.CommandLine("convert", path, "NAME.pt", "--config", "CONFIG.yaml"));
            }

            if (format is < OldestFormat or > Format)
            {
                throw new UsageException($"{path} has checkpoint format {format}; this version reads formats {OldestFormat} to {Format}");
            }

            Settings settings = SettingsLoader.Parse(content.String("config"), path);
            (int epochs, int phase) = (checked((int)content.Integer("epoch")), checked((int)content.Integer("phase")));
            StateTree? progress = content.Find<TorchDictionary>("progress") is { } unfinished ? StateFormat.Read(unfinished) : null;
            content.Entries.Remove("progress");
            return new CheckpointContent(settings, epochs, phase, progress, StateFormat.Read(content), format == Format);
        }
        catch (Exception e) when (e is InvalidDataException or OverflowException or IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"{Unreadable(path, e)}; use another checkpoint of the run, or restart the run", e);
        }
    }

    /// <summary>The checkpoint to resume from: the latest one, or the previous one if that is damaged.</summary>
    /// <param name="folder">The run's folder.</param>
    /// <param name="warn">Receives a warning if the previous one is used, and why.</param>
    /// <exception cref="UsageException">Neither can be read.</exception>
    public static (string File, CheckpointContent Content) Latest(RunFolder folder, Action<string> warn)
    {
        try
        {
            return (folder.LatestCheckpoint, Read(folder.LatestCheckpoint));
        }
        catch (UsageException e) when (e.InnerException is { } cause && File.Exists(folder.PreviousCheckpoint))
        {
            CheckpointContent content = Read(folder.PreviousCheckpoint);
            warn($"{Unreadable(folder.LatestCheckpoint, cause)}; resuming from {folder.PreviousCheckpoint}, the previous checkpoint");
            if (File.Exists(folder.LatestCheckpoint))
            {
                // Left there, it would replace the good one as the previous checkpoint at the next save.
                File.Move(folder.LatestCheckpoint, folder.DamagedCheckpoint, overwrite: true);
            }

            return (folder.PreviousCheckpoint, content);
        }
    }

    /// <summary>A partially written file may have the right length but wrong content, and ZipArchive does not verify checksums.</summary>
    /// <exception cref="InvalidDataException">An entry fails its checksum.</exception>
    private static void VerifyCrc(string path)
    {
        using FileStream file = File.OpenRead(path);
        using ZipArchive archive = FileSignature.OpenZip(file);
        if (archive.Entries.Aggregate((Int128)0, (sum, entry) => sum + entry.Length) > file.Length)
        {
            throw new InvalidDataException("its entries are longer than the file, although checkpoints are not compressed");
        }

        foreach (ZipArchiveEntry entry in archive.Entries)
        {
            using Stream stream = entry.Open();
            var sum = new Crc32();
            sum.Append(stream);
            if (sum.GetCurrentHashAsUInt32() != entry.Crc32)
            {
                throw new InvalidDataException($"its entry {entry.FullName} is damaged");
            }
        }
    }

    private static string Unreadable(string path, Exception cause) => $"{path} is not a readable checkpoint ({cause.Message.TrimEnd('.')})";

    /// <summary>The content of a checkpoint.</summary>
    /// <param name="Settings">The run's configuration.</param>
    /// <param name="Epochs">Completed epochs.</param>
    /// <param name="Phase">The phase of the last of them: 1 or 2.</param>
    /// <param name="Progress">The progress of the next epoch; null: it has not begun.</param>
    /// <param name="State">The state of what was trained.</param>
    /// <param name="IsCurrentFormat">
    /// Whether a run can be resumed from it: tables and configurations of earlier formats lack what this version writes.
    /// </param>
    internal sealed record CheckpointContent(
        Settings Settings, int Epochs, int Phase, StateTree? Progress, StateTree State, bool IsCurrentFormat)
    {
        /// <summary>A note that the network was saved mid-epoch; null at the end of an epoch.</summary>
        public string? MidEpochNote => Progress is null ? null : FormattableString.Invariant($"was saved within epoch {Epochs + 1}");

        /// <summary>Copies the state into a model built from the same configuration.</summary>
        /// <exception cref="UsageException">An entry is missing or does not fit.</exception>
        public void Restore(IStateful model, string path) => Guarded(path, () => model.LoadState(State));

        /// <summary>Copies only the backbone's state.</summary>
        /// <exception cref="UsageException">It is missing or does not fit.</exception>
        public void Restore(MultiExitNetwork network, string path)
            => Guarded(path, () => network.LoadState(State.Group(ForeignFile.Backbone).Tensors));

        /// <summary>Disposes all tensors except those of <see cref="Progress"/>; to be called once they are copied into a model.</summary>
        public void ReleaseState()
        {
            foreach ((_, Tensor tensor) in State.AllTensors)
            {
                tensor.Dispose();
            }
        }

        private static void Guarded(string path, Action restore)
        {
            try
            {
                restore();
            }
            catch (Exception e) when (e is InvalidDataException or InvalidOperationException or ArgumentException or ExternalException)
            {
                string why = Failure.Reason(e).TrimEnd('.');
                throw new UsageException(
                    $"{path} does not hold the state of this run's networks ({why}); restart the run, or restore the file", e);
            }
        }
    }
}

using System.IO.Compression;
using System.IO.Hashing;
using System.Runtime.InteropServices;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training;

namespace Imta.MetaWeight.Experiments.Checkpoints;

/// <summary>
/// All that a run needs to go on, as a PyTorch file: backbone (<c>state_dict</c>), WPN (<c>meta_state_dict</c>), both optimisers, the
/// epochs that are done and what there is of the one that is not, the random state and the configuration. Every random number follows
/// from the seed, its purpose and the epoch and batch it is for, so the random state is the seed.
/// </summary>
internal static class Checkpoint
{
    private const long Format = 6;
    private const long OldestFormat = 2; // 5 and earlier know fewer settings and tables

    /// <param name="path">Where.</param>
    /// <param name="settings">The run's.</param>
    /// <param name="phase">Its present phase.</param>
    /// <param name="model">What the phase trains.</param>
    /// <param name="epochs">Epochs of the run that are done.</param>
    /// <param name="progress">What there is of the epoch after these (<see cref="EpochProgress.Content"/>); null: it has not begun.</param>
    /// <param name="previous">Where the file goes that was there; null: it is not kept.</param>
    public static void Write(string path, Settings settings, TrainingPhase phase, RunModel model, int epochs, TorchDictionary? progress = null, string? previous = null)
    {
        using DisposeScope scope = NewDisposeScope();
        var content = new TorchDictionary
        {
            ["format"] = Format,
            ["epoch"] = epochs,
            ["phase"] = phase.Number,
            ["progress"] = (TorchValue?)progress ?? TorchNone.Value,
            ["random"] = new TorchDictionary { ["seed"] = settings.Seed },
            ["config"] = SettingsWriter.Write(settings),
            ["state_dict"] = new TorchDictionary(model.Network.state_dict()),
            ["optimizer"] = new TorchDictionary { ["momentum_buffer"] = Named(model.Network.ParameterNames, model.Optimiser.Buffers) },
        };
        if (model.Weighting is { } weighting)
        {
            content["meta_state_dict"] = new TorchDictionary(weighting.Network.state_dict());
            content["meta_optimizer"] = new TorchDictionary
            {
                ["step"] = weighting.Optimiser.Steps,
                ["exp_avg"] = Named(weighting.Names, weighting.Optimiser.Means),
                ["exp_avg_sq"] = Named(weighting.Names, weighting.Optimiser.Squares),
            };
        }

        TorchFileWriter.Write(path, content, previous);
    }

    /// <summary>Reads a checkpoint's content; its tensors belong to the open dispose scope.</summary>
    /// <exception cref="UsageException">It is damaged, or of another format.</exception>
    public static Content Read(string path)
    {
        try
        {
            CheckSums(path);
            TorchDictionary content = TorchFileReader.Read(path);
            if (content.Find<TorchInteger>("format") is not TorchInteger(var format))
            {
                throw new UsageException($"{path} is no checkpoint of imta train; make one of it: imta convert {path} NAME.pt --config CONFIG.yaml");
            }

            if (format is < OldestFormat or > Format)
            {
                throw new UsageException($"{path} is of checkpoint format {format}; this version reads formats {OldestFormat} to {Format}");
            }

            Settings settings = SettingsLoader.Parse(content.Text("config"), path);
            return new Content(settings, checked((int)content.Integer("epoch")), checked((int)content.Integer("phase")), content.Find<TorchDictionary>("progress"), content);
        }
        catch (Exception e) when (e is InvalidDataException or OverflowException or IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"{Unreadable(path, e)}; take another of the run's checkpoints, or start the run anew", e);
        }
    }

    /// <summary>The checkpoint that a run goes on from: its latest, or where that is damaged, the one before.</summary>
    /// <param name="folder">The run's.</param>
    /// <param name="warn">Told that it is the one before, and why.</param>
    /// <exception cref="UsageException">Neither can be read.</exception>
    public static (string File, Content Content) Latest(RunFolder folder, Action<string> warn)
    {
        try
        {
            return (folder.LatestCheckpoint, Read(folder.LatestCheckpoint));
        }
        catch (UsageException e) when (e.InnerException is { } cause && File.Exists(folder.PreviousCheckpoint))
        {
            Content content = Read(folder.PreviousCheckpoint);
            warn($"{Unreadable(folder.LatestCheckpoint, cause)}; going on from {folder.PreviousCheckpoint}, the checkpoint before");
            if (File.Exists(folder.LatestCheckpoint))
            {
                File.Move(folder.LatestCheckpoint, folder.LatestCheckpoint + ".damaged", overwrite: true); // in its place, the next one would push out the good one
            }

            return (folder.PreviousCheckpoint, content);
        }
    }

    /// <summary>A file that was torn may have its length and not its content, and zip archives are read without a look at their sums.</summary>
    /// <exception cref="InvalidDataException">An entry is not what was written.</exception>
    private static void CheckSums(string path)
    {
        using ZipArchive archive = ZipFile.OpenRead(path);
        if (archive.Entries.Aggregate((Int128)0, (sum, entry) => sum + entry.Length) > new FileInfo(path).Length)
        {
            throw new InvalidDataException("its parts are longer than the file, and checkpoints are not compressed");
        }

        foreach (ZipArchiveEntry entry in archive.Entries)
        {
            using Stream stream = entry.Open();
            var sum = new Crc32();
            sum.Append(stream);
            if (sum.GetCurrentHashAsUInt32() != entry.Crc32)
            {
                throw new InvalidDataException($"its part {entry.FullName} is damaged");
            }
        }
    }

    private static string Unreadable(string path, Exception cause) => $"{path} is no checkpoint that can be read ({cause.Message.TrimEnd('.')})";

    /// <summary>Tensors by name; those that are not there are left out.</summary>
    private static TorchDictionary Named(IReadOnlyList<string> names, IReadOnlyList<Tensor?> tensors) => new(names.Zip(tensors)
        .Where(entry => entry.Second is not null)
        .Select(entry => KeyValuePair.Create(entry.First, entry.Second!)));

    /// <summary>What a checkpoint holds.</summary>
    /// <param name="Settings">The run's configuration.</param>
    /// <param name="Epochs">Epochs done.</param>
    /// <param name="Phase">The phase of the last of them: 1 or 2.</param>
    /// <param name="Progress">The epoch after those that are done, for <see cref="EpochProgress.Restore"/>; null: it has not begun.</param>
    /// <param name="Values">Everything, by key.</param>
    internal sealed record Content(Settings Settings, int Epochs, int Phase, TorchDictionary? Progress, TorchDictionary Values)
    {
        /// <summary>A line on a network that is inside an epoch; null: the epoch is done.</summary>
        public string? InsideEpoch => Progress is null ? null : FormattableString.Invariant($"is from inside epoch {Epochs + 1}");

        /// <summary>Whether a run can go on from it: tables and configurations of an earlier format lack what this version writes.</summary>
        public bool IsPresentFormat => Values.Integer("format") == Format;

        /// <summary>Copies the state into a model that was built from the same configuration.</summary>
        /// <exception cref="UsageException">A part is missing or does not fit.</exception>
        public void Restore(RunModel model, string path) => Guarded(path, () => Restore(model));

        /// <summary>Copies the backbone's state alone.</summary>
        /// <exception cref="UsageException">It is missing or does not fit.</exception>
        public void Restore(MultiExitNetwork network, string path) => Guarded(path, () => network.LoadState(Values.Dictionary("state_dict").Tensors()));

        /// <summary>Gives up all tensors but those of <see cref="Progress"/>: a model has its own by now.</summary>
        public void ReleaseModel()
        {
            foreach (TorchValue part in Values.Parts.Where(part => !ReferenceEquals(part, Progress)))
            {
                Release(part);
            }
        }

        private static void Release(TorchValue part)
        {
            (part as TorchTensor)?.Value.Dispose();
            foreach (TorchValue inner in part.Parts)
            {
                Release(inner);
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
                throw new UsageException($"{path} does not hold the state of this run's networks ({e.Message.ReplaceLineEndings(" ").TrimEnd('.')}); start the run anew, or restore the file", e);
            }
        }

        private void Restore(RunModel model)
        {
            model.Network.LoadState(Values.Dictionary("state_dict").Tensors());
            Dictionary<string, Tensor> buffers = Values.Dictionary("optimizer").Dictionary("momentum_buffer").Tensors();
            model.Optimiser.Restore([.. model.Network.ParameterNames.Select(name => buffers.GetValueOrDefault(name))]);
            if (model.Weighting is { } weighting)
            {
                weighting.Network.LoadState(Values.Dictionary("meta_state_dict").Tensors());
                TorchDictionary state = Values.Dictionary("meta_optimizer"), means = state.Dictionary("exp_avg"), squares = state.Dictionary("exp_avg_sq");
                weighting.Optimiser.Restore([.. weighting.Names.Select(name => means.Tensor(name))], [.. weighting.Names.Select(name => squares.Tensor(name))], state.Integer("step"));
            }
        }
    }
}

using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Evaluation;

/// <summary>The network of a run or a checkpoint, ready to classify.</summary>
/// <param name="File">The checkpoint.</param>
/// <param name="Hash">The SHA-256 of its content, in hexadecimal.</param>
/// <param name="Settings">The run's settings, with the device and threads of this machine.</param>
/// <param name="Epochs">Epochs trained; null: unknown.</param>
/// <param name="Network">The network.</param>
/// <param name="Cost">Its cost.</param>
/// <param name="Device">Its device.</param>
internal sealed record TrainedNetwork(
    string File, string Hash, Settings Settings, int? Epochs, MultiExitNetwork Network, NetworkCost Cost, Device Device) : IDisposable
{
    private const int ReadAttempts = 10;

    /// <summary>Multiply-adds of a prediction at each exit, K.</summary>
    public IReadOnlyList<long> Macs => [.. Cost.Exits.Select(exit => exit.Macs)];

    /// <summary>The run whose checkpoint it is; null: it is in no run folder.</summary>
    public RunFolder? Run => RunFolder.Containing(File);

    /// <summary>Notes about the file for the user.</summary>
    public string? Warning { get; private init; }

    /// <summary>Loads a network.</summary>
    /// <param name="source">A run folder, a native or published checkpoint, or a plain tensor file.</param>
    /// <param name="given">The configuration for a file that does not contain one; null: the file must contain it.</param>
    /// <param name="changes">Overrides of what is not a property of the network: the run's device, threads and exported files.</param>
    /// <exception cref="UsageException">
    /// It does not exist, is damaged, has a different configuration or none, has diverged, or this machine lacks the device.
    /// </exception>
    public static TrainedNetwork Load(string source, Settings? given, IReadOnlyList<SettingsOverride> changes)
    {
        using DisposeScope scope = NewDisposeScope();
        string file = RunFolder.CheckpointOf(source);
        (NetworkSource content, string hash) = Read(file, given);
        Settings settings = SettingsLoader.Parse(SettingsWriter.Write(content.Settings), source, changes);
        Device device = ComputeDevice.Configure(settings);
        MultiExitNetwork network = NetworkBuilder.ForPhase(TrainingPhase.ForRun(settings, content.Phase), device);
        string? warning = content.Restore(network);
        if (network.state_dict().FirstOrDefault(entry => !entry.Value.isfinite().all().item<bool>()) is { Key: { } broken })
        {
            network.Dispose();
            throw new UsageException(
                $"{file} contains NaN or infinite values ({broken}): its training diverged; retrain with a smaller train.rate");
        }

        NetworkCost cost = network.Cost(DatasetShape.For(settings.Data).Side);
        return new TrainedNetwork(file, hash, settings, content.Epochs, network, cost, device) { Warning = warning };
    }

    /// <summary>What every exit predicts for images; the predictions belong to the open dispose scope.</summary>
    /// <inheritdoc cref="Predictions.Compute"/>
    /// <exception cref="UsageException">The network's logits are NaN or infinite.</exception>
    public Predictions Predict(
        ImageSet set,
        Normalisation normalisation,
        IExitCriterion criterion,
        CancellationToken stop,
        Action? advance = null,
        ExitRisk? risk = null,
        bool logits = false)
    {
        Predictions predictions = Predictions.Compute(Network, set, normalisation, criterion, Device, stop, advance, risk, logits);
        predictions.Check();
        return predictions;
    }

    public void Dispose() => Network.Dispose();

    /// <summary>The content of a file and its hash, both of one version: a run in training may replace its checkpoint in between.</summary>
    /// <exception cref="UsageException">It cannot be read, or is replaced whenever it is.</exception>
    private static (NetworkSource Content, string Hash) Read(string file, Settings? given)
    {
        for (int attempt = 0; attempt < ReadAttempts; attempt++)
        {
            (DateTime, long) before = Stamp(file);
            NetworkSource content = ForeignFile.Open(file, configured: given is not null) is { } foreign
                ? NetworkSource.FromForeign(foreign, given)
                : NetworkSource.FromNative(Checkpoint.Read(file), file);
            string hash = FileHash.Sha256(file);
            if (Stamp(file) == before)
            {
                return (content, hash);
            }
        }

        throw new UsageException($"{file} is replaced faster than it can be read; use a copy of it, or wait for the end of its run");

        static (DateTime, long) Stamp(string file) => (System.IO.File.GetLastWriteTimeUtc(file), new FileInfo(file).Length);
    }

    /// <summary>The common content of native and foreign files.</summary>
    /// <param name="Settings">The configuration.</param>
    /// <param name="Phase">The phase of the network.</param>
    /// <param name="Epochs">Completed epochs; null: unknown.</param>
    /// <param name="Restore">Copies its state into a network; returns notes for the user.</param>
    private sealed record NetworkSource(Settings Settings, int Phase, int? Epochs, Func<MultiExitNetwork, string?> Restore)
    {
        public static NetworkSource FromNative(Checkpoint.CheckpointContent checkpoint, string file) => new(
            checkpoint.Settings,
            checkpoint.Phase,
            checkpoint.Epochs,
            network =>
            {
                checkpoint.Restore(network, file);
                return checkpoint.MidEpochNote is { } inside ? $"{file} {inside}" : null;
            });

        public static NetworkSource FromForeign(ForeignCheckpoint foreign, Settings? given)
        {
            Settings settings = given ?? throw new UsageException(
                $"{foreign.File} is {foreign.Kind}, which does not contain its configuration; give --config CONFIG.yaml");
            TrainingPhase phase = foreign.PhaseOf(settings);
            return new NetworkSource(
                settings,
                phase.Number,
                foreign.Epochs == 0 ? null : foreign.EpochsOf(phase),
                network => foreign.Restore(network).DescribeUnexpected() is { } surplus ? $"{foreign.File}: {surplus}" : null);
        }
    }
}

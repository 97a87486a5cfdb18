using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary><c>phase2.from</c>: the phase I network of an earlier run.</summary>
internal static class PhaseOneLoader
{
    /// <summary>The network with that run's parameters; null if this run trains phase I itself or has no phase II.</summary>
    /// <param name="run">The settings of the run that uses it.</param>
    /// <param name="device">The target device.</param>
    /// <param name="images">The fingerprint of this run's data set (<see cref="Data.RunData.Fingerprint"/>).</param>
    /// <exception cref="UsageException">There is no such run, or its network or data set differs.</exception>
    public static ExitHeadNetwork? Load(Settings run, Device device, string? images)
    {
        if (run.Phase2.From is not { } source)
        {
            return null;
        }

        if (!Path.Exists(source))
        {
            throw new UsageException(
                $"phase2.from: {source} does not exist; give a run folder, or a checkpoint");
        }

        using DisposeScope scope = NewDisposeScope();
        string file = Directory.Exists(source) ? RunFolder.NetworkOf(source) : source;
        Checkpoint.CheckpointContent checkpoint = Checkpoint.Read(file);
        if (Difference(run, checkpoint) is { } difference)
        {
            throw new UsageException($"phase2.from: {file} {difference}");
        }

        if (RunFolder.Containing(file)?.HasDifferentData(images) == true)
        {
            throw new UsageException($"phase2.from: {file} was trained with different files in the data set's folder (added, removed, "
                + "renamed or changed), so it may have seen images that are held out here; use its data folder, or another run");
        }

        ExitHeadNetwork network = NetworkBuilder.PhaseOne(TrainingPhase.PhaseOneSettings(run), device);
        checkpoint.Restore(network, file);
        return NonFinite.FindIn(new StateTree(network.state_dict())) is { } broken
            ? throw new UsageException($"phase2.from: {file} contains NaN or infinite values ({broken}): its training diverged; retrain "
                + "it with a smaller train.rate")
            : network;
    }

    private static string? Difference(Settings run, Checkpoint.CheckpointContent checkpoint)
    {
        Settings other = checkpoint.Settings;
        if (checkpoint.Phase != 1)
        {
            return "is already from phase II; expected a network trained in phase I or in a single-phase run (checkpoints/phase1.pt)";
        }

        if (other.Modifiers.Isc.Enabled && other.Phase2.Epochs == 0)
        {
            return "was trained with Inline Subnetwork Collaboration in a single phase, which phase I must not have; train it with "
                + "modifiers.isc.enabled=false";
        }

        if (other.Modifiers.Boosting.Enabled && run.Phase2.Regime == PhaseTwoRegime.Frozen)
        {
            return "was trained with boosting, whose exits only add to each other; train it with modifiers.boosting.enabled=false";
        }

        if (other.Model with { Initialisation = run.Model.Initialisation } != run.Model
            || (other.Data.Dataset, other.Data.Classes, SideOf(other)) != (run.Data.Dataset, run.Data.Classes, SideOf(run)))
        {
            return $"has a different architecture ({other.Model.Group}, data.dataset, data.classes or data.side differ); use its settings, "
                + "or another run";
        }

        return HaveSameImages(other, run)
            ? null
            : "was trained on different images (seed, data.validation, data.trainLimit, data.imbalance or held-out meta data differ), so "
                + "it may have seen images that are held out here; use its settings, or another run";
    }

    private static int SideOf(Settings settings) => settings.Data.Side ?? ImageKind.Cifar.Side;

    /// <summary>Whether two runs on one data set train on the same images.</summary>
    public static bool HaveSameImages(Settings one, Settings other) => Images(one) == Images(other);

    /// <summary>All settings that determine the training images.</summary>
    private static (int, int, int?, ImbalanceOptions, int) Images(Settings settings)
        => (settings.Seed, settings.Data.Validation, settings.Data.TrainLimit,
            settings.Data.Imbalance.Type == ImbalanceProfile.None ? new() : settings.Data.Imbalance,
            settings.Meta.UsesHeldOutData ? settings.Meta.PerClass : 0);
}

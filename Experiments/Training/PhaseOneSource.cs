using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary><c>phase2.from</c>: the network of an earlier run's phase I.</summary>
internal static class PhaseOneSource
{
    /// <summary>The network with that run's parameters; null where this run trains phase I itself, or has none.</summary>
    /// <param name="run">The settings of the run that takes it.</param>
    /// <param name="device">Where it goes.</param>
    /// <param name="images">Names the files of that run's images (<see cref="Data.RunData.Fingerprint"/>); null: they are none.</param>
    /// <exception cref="UsageException">There is no such run, or its network or its images are others.</exception>
    public static HeadedNetwork? Load(Settings run, Device device, string? images)
    {
        if (run.Phase2.From is not { } source)
        {
            return null;
        }

        if (!Path.Exists(source))
        {
            throw new UsageException($"phase2.from: there is no run or checkpoint {source}; give the folder of a run, or one of its checkpoints");
        }

        using DisposeScope scope = NewDisposeScope();
        string file = Directory.Exists(source) ? RunFolder.NetworkOf(source) : source;
        Checkpoint.Content checkpoint = Checkpoint.Read(file);
        if (Difference(run, checkpoint) is { } difference)
        {
            throw new UsageException($"phase2.from: {file} {difference}");
        }

        if (RunFolder.Around(file)?.StartedWithOthers(images) == true)
        {
            throw new UsageException($"phase2.from: {file} was trained with other files in the data set's folder (added, removed or renamed), so that it may know images that are held out here; give its folder, or another run");
        }

        HeadedNetwork network = Networks.PhaseOne(TrainingPhase.FirstOfTwo(run), device);
        checkpoint.Restore(network, file);
        return NonFinite.In(new StateTree(network.state_dict())) is { } broken
            ? throw new UsageException($"phase2.from: {file} holds numbers that are not finite ({broken}): its training diverged; train it again, with a smaller train.rate")
            : network;
    }

    private static string? Difference(Settings run, Checkpoint.Content checkpoint)
    {
        Settings other = checkpoint.Settings;
        if (checkpoint.Phase != 1)
        {
            return "is of phase II already; wanted a network that phase I, or a run of one phase, trained (checkpoints/phase1.pt)";
        }

        if (other.Modifiers.Isc.Enabled && other.Phase2.Epochs == 0)
        {
            return "was trained with Inline Subnetwork Collaboration in one phase; phase I has none: train it with modifiers.isc.enabled=false";
        }

        if (other.Model with { Initialisation = run.Model.Initialisation } != run.Model || (other.Data.Dataset, other.Data.Classes) != (run.Data.Dataset, run.Data.Classes))
        {
            return $"is of another network ({other.Model.Group}, data.dataset or data.classes differ); give its settings, or another run";
        }

        return Images(other) == Images(run)
            ? null
            : "was trained on other images (seed, data.validation, data.trainLimit, data.imbalance or held-out meta data differ), so that it may know images that are held out here; give its settings, or another run";
    }

    /// <summary>All that decides which images are trained on.</summary>
    private static (int, int, int?, ImbalanceOptions, int) Images(Settings settings)
        => (settings.Seed, settings.Data.Validation, settings.Data.TrainLimit, settings.Data.Imbalance.Type == ImbalanceProfile.None ? new() : settings.Data.Imbalance, settings.Meta.HoldsOut ? settings.Meta.PerClass : 0);
}

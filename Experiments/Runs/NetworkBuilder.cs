using System.Runtime.InteropServices;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Experiments.Runs;

/// <summary>Builds backbones from the configuration.</summary>
internal static class NetworkBuilder
{
    /// <summary>The network of a run's last phase, freshly initialised.</summary>
    /// <exception cref="UsageException">No network can be built from the settings.</exception>
    public static MultiExitNetwork Build(Settings settings, Device device) => ForPhase(TrainingPhase.ForRun(settings)[^1], device);

    /// <summary>The network of a phase.</summary>
    /// <param name="phase">The phase.</param>
    /// <param name="device">Its device.</param>
    /// <param name="phaseOne">
    /// In phase II: the phase I network, whose ownership is transferred; null: a freshly initialised one.
    /// </param>
    /// <exception cref="UsageException">No network can be built from the settings.</exception>
    public static MultiExitNetwork ForPhase(TrainingPhase phase, Device device, ExitHeadNetwork? phaseOne = null)
    {
        if (phase.FreezesNetwork)
        {
            return PhaseTwo(phase.Settings, phaseOne ?? PhaseOne(TrainingPhase.PhaseOneSettings(phase.Settings), device), device);
        }

        ExitHeadNetwork network = PhaseOne(phase.Settings, device); // with GE and boosting in its graph, which phase I may lack
        using (phaseOne)
        {
            if (phaseOne is not null)
            {
                network.LoadState(phaseOne.state_dict());
            }
        }

        return network;
    }

    /// <summary>The network whose parameters are all trained, of a single phase or of phase I; freshly initialised.</summary>
    /// <exception cref="UsageException">No network can be built from the settings.</exception>
    public static ExitHeadNetwork PhaseOne(Settings settings, Device device)
    {
        RequireMemory(settings, device);
        return PhaseOne(settings, device, long.MaxValue);
    }

    /// <summary>The memory available to a network on a device; null: unknown.</summary>
    public static long? AvailableMemory(Device device)
        => device.type == DeviceType.CUDA ? CudaDevices.FreeMemory(device.index) : AvailableResources.FreeMemory("/");

    private static ExitHeadNetwork PhaseOne(Settings settings, Device device, long maxBytes)
    {
        DatasetShape shape = DatasetShape.For(settings.Data);
        using Generator random = SeedSequence.Generator(settings.Seed, SeedSequence.Backbone);
        LayerFactory factory = Factory(settings, random, device) with { MaxBytes = maxBytes };
        ModelOptions model = settings.Model;
        try
        {
            ExitHeadNetwork network = model.Backbone.Value.Build(
                model.Backbone.Options, shape.Images, shape.Classes, factory, settings.Modifiers);
            network.FeatureType = model.FeatureType;
            return network;
        }
        catch (ArgumentException e)
        {
            throw UsageException.FromArgumentException(e, $"{model.Group}: ");
        }
    }

    /// <summary>The phase II network around that of phase I, of which it takes ownership.</summary>
    public static PhaseTwoNetwork PhaseTwo(Settings settings, ExitHeadNetwork phaseOne, Device device)
    {
        using Generator random = SeedSequence.Generator(settings.Seed, SeedSequence.PhaseTwo);
        LayerFactory factory = Factory(settings, random, device);
        return new(phaseOne, settings.Modifiers.Isc, settings.Phase2.FrozenNorm, factory) { FeatureType = settings.Model.FeatureType };
    }

    /// <summary>Counts memory from shapes alone: the system would kill the process while it builds too large a network.</summary>
    private static void RequireMemory(Settings settings, Device device)
    {
        if (AvailableMemory(device) is not { } available)
        {
            return;
        }

        try
        {
            using ExitHeadNetwork shapes = PhaseOne(settings, new Device(DeviceType.META), available);
        }
        catch (InsufficientMemoryException e)
        {
            throw new UsageException(
                $"the parameters of {settings.Model.Group} alone need more than the {ByteSize.Text(available)} of memory that is "
                    + "available: use a smaller network (its blocks, channels, growth), or a machine with more memory", e);
        }
        catch (Exception e) when (e is ExternalException or InvalidOperationException)
        {
            // A third-party backbone whose constructor reads parameter values cannot be built from shapes alone.
        }
    }

    private static LayerFactory Factory(Settings settings, Generator random, Device device)
        => new(settings.Model.Initialisation, random, float32, device);
}

using System.Security.Cryptography;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training;

namespace Imta.MetaWeight.Experiments.Inference;

/// <summary>The network of a run or a checkpoint, ready to answer.</summary>
/// <param name="File">The checkpoint.</param>
/// <param name="Settings">The run's, with the device and threads of this machine.</param>
/// <param name="Epochs">Epochs that it was trained.</param>
/// <param name="Network">The network.</param>
/// <param name="Cost">What it costs.</param>
/// <param name="Device">Where it is.</param>
internal sealed record TrainedNetwork(string File, Settings Settings, int Epochs, MultiExitNetwork Network, NetworkCost Cost, Device Device) : IDisposable
{
    /// <summary>Multiply-adds of an answer at each exit, K.</summary>
    public IReadOnlyList<long> Macs => [.. Cost.Exits.Select(exit => exit.Macs)];

    /// <summary>Loads a network.</summary>
    /// <param name="source">The folder of a run, or a checkpoint.</param>
    /// <param name="machine">Device and threads, where they are not to be the run's.</param>
    /// <exception cref="UsageException">There is none, or it is damaged, it diverged, or this machine has no such device.</exception>
    public static TrainedNetwork Load(string source, Func<Settings, Settings> machine)
    {
        using DisposeScope scope = NewDisposeScope();
        string file = RunFolder.CheckpointOf(source);
        Checkpoint.Content checkpoint = Checkpoint.Read(file);
        Settings settings = machine(checkpoint.Settings);
        Device device = Machine.Prepare(settings);
        MultiExitNetwork network = checkpoint.Phase == 1 && settings.Phase2.Epochs > 0
            ? Networks.PhaseOne(TrainingPhase.FirstOfTwo(settings), device)
            : Networks.Build(settings, device);
        checkpoint.Restore(network, file);
        if (network.state_dict().FirstOrDefault(entry => !entry.Value.isfinite().all().item<bool>()) is { Key: { } broken })
        {
            network.Dispose();
            throw new UsageException($"{file} holds numbers that are not finite ({broken}): its training diverged; train again, with a smaller train.rate");
        }

        return new TrainedNetwork(file, settings, checkpoint.Epochs, network, network.Cost(DatasetShape.Of(settings.Data.Dataset).Side), device);
    }

    /// <summary>Names the checkpoint by its content: SHA-256, in hexadecimal.</summary>
    public string Hash()
    {
        using FileStream stream = System.IO.File.OpenRead(File);
        return Convert.ToHexStringLower(SHA256.HashData(stream));
    }

    public void Dispose() => Network.Dispose();
}

using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training.Distributed;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>What a phase of a run trains: the backbone with its optimiser, the weighting where weights are learned, and the loop over both.</summary>
internal sealed class RunModel : IDisposable
{
    private readonly TrainingLoss _loss;
    private bool _networkIsGone;

    private RunModel(MultiExitNetwork network, TrainingLoss loss, Sgd optimiser, LearnedWeighting? weighting, BilevelLoop loop)
    {
        Network = network;
        _loss = loss;
        Optimiser = optimiser;
        Weighting = weighting;
        Loop = loop;
    }

    public MultiExitNetwork Network { get; }

    public Sgd Optimiser { get; }

    /// <summary>Null where no network predicts weights.</summary>
    public LearnedWeighting? Weighting { get; }

    public BilevelLoop Loop { get; }

    /// <param name="phase">The phase.</param>
    /// <param name="classCounts">Training images of each class.</param>
    /// <param name="device">Where it lives.</param>
    /// <param name="replicas">The processes that train it.</param>
    /// <param name="phaseOne">In phase II: the network of phase I, which belongs to the model from now on; null: one with its first parameters, to restore.</param>
    /// <exception cref="UsageException">The settings describe nothing that can be built.</exception>
    public static RunModel Build(TrainingPhase phase, IReadOnlyList<long> classCounts, Device device, Replicas replicas, HeadedNetwork? phaseOne = null)
    {
        try
        {
            return Assemble(phase, phaseOne, classCounts, device, replicas);
        }
        catch (ArgumentException e)
        {
            throw UsageException.Of(e);
        }
    }

    /// <summary>Gives the network away: it outlives the model.</summary>
    public HeadedNetwork ReleaseNetwork()
    {
        _networkIsGone = true;
        return (HeadedNetwork)Network;
    }

    public void Dispose()
    {
        if (!_networkIsGone)
        {
            Network.Dispose();
        }

        _loss.Dispose();
        Optimiser.Dispose();
        Weighting?.Network.Dispose();
        Weighting?.Optimiser.Dispose();
    }

    private static RunModel Assemble(TrainingPhase phase, HeadedNetwork? phaseOne, IReadOnlyList<long> classCounts, Device device, Replicas replicas)
    {
        Settings settings = phase.Settings;
        Averaging? averaging = replicas.AreSeveral ? replicas.Average : null;
        MultiExitNetwork network = phase.Number == 1
            ? Networks.PhaseOne(settings, device)
            : Networks.PhaseTwo(settings, phaseOne ?? Networks.PhaseOne(TrainingPhase.FirstOfTwo(settings), device), device);
        var optimiser = new Sgd(network.Parameters, settings.Train);
        var loss = new TrainingLoss(settings.Loss, classCounts, float32, device);
        IMetaGradient method = MetaGradients.Create(settings.Meta, network, optimiser, loss, averaging);
        if (!settings.Meta.Predicts)
        {
            BilevelLoop unlearned = settings.Meta.Enabled ? new(method, optimiser, new RuledWeights(settings.Meta), averaging) : new(method, optimiser, averaging);
            return new RunModel(network, loss, optimiser, null, unlearned);
        }

        LearnedWeighting weighting = LearnedWeighting.Build(phase, network.Exits, device);
        var loop = new BilevelLoop(method, optimiser, new SampleWeighting(weighting.Network, settings.Meta), weighting.Optimiser, averaging);
        return new RunModel(network, loss, optimiser, weighting, loop);
    }
}

/// <summary>The WPN with its optimiser.</summary>
/// <param name="Network">g.</param>
/// <param name="Optimiser">Of Θ.</param>
/// <param name="Names">The name of each parameter of Θ.</param>
internal sealed record LearnedWeighting(WeightPredictionNetwork Network, Adam Optimiser, IReadOnlyList<string> Names)
{
    public static LearnedWeighting Build(TrainingPhase phase, int exits, Device device)
    {
        Settings settings = phase.Settings;
        using Generator random = SeedSequence.Generator(settings.Seed, SeedSequence.WeightNetwork, phase.Number == 1 ? [] : [phase.Number]);
        var network = new WeightPredictionNetwork(
            settings.Meta.Wpn, SampleWeighting.Inputs(settings.Meta, exits), SampleWeighting.Outputs(settings.Meta, exits), random, float32, device);
        return new LearnedWeighting(network, new Adam(network.Parameters, settings.Meta.Optimiser.WeightDecay), [.. network.named_parameters().Select(entry => entry.name)]);
    }
}

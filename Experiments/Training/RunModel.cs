using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training.Distributed;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Fusion;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>What a phase of a run trains: the backbone with its optimiser, the weighting, and the loop over both.</summary>
internal sealed class RunModel : IStateful, IDisposable
{
    private readonly TrainingLoss _loss;
    private readonly Sgd _optimiser;
    private readonly MetaGf? _metaGf;
    private bool _networkReleased;

    private RunModel(
        TrainingPhase phase, ExitHeadNetwork? phaseOne, IReadOnlyList<long> classCounts, Device device, ProcessGroup processGroup)
    {
        Settings settings = phase.Settings;
        Averaging? averaging = processGroup.IsDistributed ? processGroup.AllReduceMean : null;
        Network = NetworkBuilder.ForPhase(phase, device, phaseOne);
        _optimiser = new Sgd(Network.named_parameters(), settings.Train);
        _loss = new TrainingLoss(settings.Loss, classCounts, float32, device);
        RequireMemory(settings.Meta, device);
        using Generator random = SeedSequence.Generator(settings.Seed, SeedSequence.WeightNetwork, phase.Number == 1 ? [] : [phase.Number]);
        Weighting = settings.Meta.Build(Network, random);
        IMetaGradient method = MetaGradients.Create(settings.Meta, Network, _optimiser, _loss, averaging);
        Combination = settings.Modifiers.Combine(
            step => SeedSequence.Generator(settings.Seed, SeedSequence.Combination, phase.Number, step));
        Loop = new BilevelLoop(method, Weighting, _optimiser, Combination, averaging);
        _metaGf = settings.Modifiers.MetaGf is { Enabled: true } own ? new MetaGf(own, Network, method, _optimiser, averaging) : null;
    }

    public MultiExitNetwork Network { get; }

    public ISampleWeighting Weighting { get; }

    public IGradientCombination Combination { get; }

    public BilevelLoop Loop { get; }

    /// <summary>Passes over the training samples in an epoch.</summary>
    public int Passes => _metaGf?.Passes ?? 1;

    /// <summary>
    /// The state of the backbone, its optimiser and everything else that learns, under the names of published checkpoints.
    /// </summary>
    public StateTree State
    {
        get
        {
            var state = new StateTree
            {
                Groups = { [ForeignFile.Backbone] = new StateTree(Network.state_dict()), [ForeignFile.Optimiser] = _optimiser.State },
            };
            state.Add(Weighting.State);
            state.Add(Combination.State);
            state.Add(_metaGf?.State ?? new StateTree());
            return state;
        }
    }

    /// <param name="phase">The phase.</param>
    /// <param name="classCounts">Training images per class.</param>
    /// <param name="device">The model's device.</param>
    /// <param name="processGroup">The process group that trains it.</param>
    /// <param name="phaseOne">
    /// In phase II: the phase I network, which the model takes ownership of; null: a freshly initialised one, to be restored.
    /// </param>
    /// <exception cref="UsageException">No model can be built from the settings.</exception>
    public static RunModel Build(
        TrainingPhase phase, IReadOnlyList<long> classCounts, Device device, ProcessGroup processGroup, ExitHeadNetwork? phaseOne = null)
    {
        try
        {
            return new RunModel(phase, phaseOne, classCounts, device, processGroup);
        }
        catch (ArgumentException e)
        {
            throw UsageException.FromArgumentException(e);
        }
    }

    /// <summary>Trains on a batch.</summary>
    /// <param name="batch">At least two samples.</param>
    /// <param name="rates">The learning rates of this batch.</param>
    /// <param name="at">Its position in an epoch of several passes.</param>
    /// <param name="learns">Whether the weighting learns from this batch.</param>
    /// <param name="heldOut">Its held-out meta data; null: none.</param>
    public IReadOnlyList<HalfBatchReport> Step(
        LabelledImages batch, LearningRates rates, PassPosition at, bool learns, LabelledImages? heldOut)
    {
        _loss.BeginEpoch(at.Epoch, at.Epochs);
        return _metaGf is null ? Loop.Step(batch, rates, learns, heldOut) : [_metaGf.Step(batch, at, rates.Backbone)];
    }

    /// <summary>Ends an epoch, after its last batch.</summary>
    public void EndEpoch()
    {
        Combination.EndEpoch();
        _metaGf?.EndEpoch();
    }

    public void LoadState(StateTree state)
    {
        Network.LoadState(state.Group(ForeignFile.Backbone).Tensors);
        _optimiser.LoadState(state.Group(ForeignFile.Optimiser));
        Weighting.LoadState(state);
        Combination.LoadState(state);
        _metaGf?.LoadState(state);
    }

    /// <summary>Releases ownership of the network: it outlives the model.</summary>
    public ExitHeadNetwork DetachNetwork()
    {
        _networkReleased = true;
        return (ExitHeadNetwork)Network;
    }

    /// <summary>
    /// Rejects a weight-prediction network that is too large for memory, counting weights between hidden layers and Adam's two moments.
    /// </summary>
    /// <exception cref="UsageException">It is too large.</exception>
    public static void RequireMemory(MetaSettings meta, Device device)
    {
        long bytes = 3L * sizeof(float) * (meta.Wpn.Layers - 1) * meta.Wpn.Hidden * meta.Wpn.Hidden;
        if (meta.Enabled && meta.Weights.Value.UsesWpn
            && NetworkBuilder.AvailableMemory(device) is { } available && bytes > available)
        {
            throw new UsageException(
                $"meta.wpn needs about {ByteSize.Text(bytes)} of memory, but {ByteSize.Text(available)} is available; "
                    + "lower meta.wpn.hidden or meta.wpn.layers");
        }
    }

    public void Dispose()
    {
        if (!_networkReleased)
        {
            Network.Dispose();
        }

        _loss.Dispose();
        _optimiser.Dispose();
        Weighting.Dispose();
        _metaGf?.Dispose();
        Combination.Dispose();
    }
}

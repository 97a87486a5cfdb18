using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Training;

namespace Imta.MetaWeight.Experiments.Checkpoints;

/// <summary>
/// A network as other programs keep it: a published checkpoint, a state dictionary or a safetensors file. It does not say which network it
/// is: that takes a configuration.
/// </summary>
/// <param name="File">The file.</param>
/// <param name="Kind">What it is, for messages.</param>
/// <param name="Tensors">The backbone's state by name; the WPN's with <see cref="WeightingPrefix"/>.</param>
/// <param name="Epochs">Epochs done, as the file says; 0: unknown.</param>
/// <param name="Facts">What else a published checkpoint says in single values: <c>arch</c>, <c>best_prec1</c>, …</param>
/// <param name="Optimiser">The backbone's, as <c>torch.optim.SGD</c> has its state; null: unknown.</param>
/// <param name="WeightingOptimiser">The WPN's, as <c>torch.optim.Adam</c> has its state; null: unknown.</param>
internal sealed record ForeignCheckpoint(
    string File, string Kind, Dictionary<string, Tensor> Tensors, int Epochs, IReadOnlyDictionary<string, TorchValue> Facts, TorchDictionary? Optimiser, TorchDictionary? WeightingOptimiser)
{
    /// <summary>Stands before the names of the WPN's tensors; in a published checkpoint it is a key of its own.</summary>
    public const string WeightingPrefix = ForeignFile.Weighting + ".";

    /// <summary>The backbone's tensors.</summary>
    public Dictionary<string, Tensor> BackboneTensors => Part(weighting: false);

    /// <summary>How many tensors are the WPN's.</summary>
    public int WeightingTensors => Tensors.Count - BackboneTensors.Count;

    /// <summary>What a model holds.</summary>
    /// <param name="source">Where it is from.</param>
    /// <param name="model">The model; the tensors are its own.</param>
    /// <param name="phase">The phase that trained it.</param>
    /// <param name="epochs">Epochs done in this phase; 0: unknown.</param>
    /// <param name="facts">What a published checkpoint said.</param>
    public static ForeignCheckpoint Of(string source, RunModel model, TrainingPhase phase, int epochs, IReadOnlyDictionary<string, TorchValue> facts)
    {
        Settings settings = phase.Settings;
        Dictionary<string, TorchValue> known = new(facts);
        known.TryAdd("arch", settings.Model.Backbone.Name);
        return new ForeignCheckpoint(
            source, "a checkpoint of imta train", StateOf(model), epochs, known,
            PublishedOptimisers.Of(model, phase), model.Weighting is { } weighting ? PublishedOptimisers.Of(weighting, settings.Meta.Optimiser) : null);
    }

    /// <summary>The tensors of a model, by the names of <see cref="Tensors"/>.</summary>
    public static Dictionary<string, Tensor> StateOf(RunModel model)
    {
        Dictionary<string, Tensor> state = model.Network.state_dict();
        foreach ((string name, Tensor tensor) in model.Weighting?.Network.state_dict() ?? [])
        {
            state.Add(WeightingPrefix + name, tensor);
        }

        return state;
    }

    /// <summary>The phase of a configuration's run that trained it: in phase II the network is a part of another.</summary>
    public TrainingPhase PhaseOf(Settings settings)
        => TrainingPhase.Of(settings, settings.Phase2.Epochs > 0 && Tensors.Keys.Any(name => name.StartsWith("net.", StringComparison.Ordinal)) ? 2 : 1);

    /// <summary>Epochs done of a run whose phase this is.</summary>
    public int EpochsOf(TrainingPhase phase) => Epochs == 0 ? 0 : phase.EpochsBefore + Epochs;

    /// <summary>Copies the backbone's tensors into a network.</summary>
    /// <returns>How they fit.</returns>
    /// <exception cref="UsageException">One is missing or of another shape.</exception>
    public StateFit Restore(MultiExitNetwork network)
    {
        Dictionary<string, Tensor> tensors = BackboneTensors;
        StateFit fit = Demand(StateFit.Of(network.state_dict(), tensors));
        network.load_state_dict(tensors, strict: false);
        return fit;
    }

    /// <summary>Copies all that fits into a model; the optimisers' state is another matter.</summary>
    /// <exception cref="UsageException">One is missing or of another shape.</exception>
    public void Restore(RunModel model)
    {
        Demand(StateFit.Of(StateOf(model), Tensors));
        model.Network.load_state_dict(BackboneTensors, strict: false);
        model.Weighting?.Network.load_state_dict(Part(weighting: true), strict: false);
    }

    /// <summary>Writes the published layout, which <c>torch.load</c> reads.</summary>
    public void WritePublished(string path)
    {
        var content = new TorchDictionary { [ForeignFile.Epoch] = Epochs };
        foreach ((string name, TorchValue value) in Facts.OrderBy(fact => fact.Key, StringComparer.Ordinal))
        {
            content[name] = value;
        }

        Add(ForeignFile.Backbone, new TorchDictionary(BackboneTensors));
        Add(ForeignFile.Optimiser, Optimiser);
        Add(ForeignFile.Weighting, WeightingTensors == 0 ? null : new TorchDictionary(Part(weighting: true)));
        Add(ForeignFile.WeightingOptimiser, WeightingOptimiser);
        TorchFileWriter.Write(path, content);

        void Add(string key, TorchDictionary? value)
        {
            if (value is not null)
            {
                content[key] = value;
            }
        }
    }

    private StateFit Demand(StateFit fit) => fit.Fits ? fit : throw new UsageException(
        $"{File}, {Kind}, is not of this configuration's network: {fit.Problem()}; give another --config, or --set keys of it{(fit.Missing.Any(IsWeighting) ? " (meta.enabled=false where it has no weight-prediction network)" : "")}");

    private Dictionary<string, Tensor> Part(bool weighting) => Tensors
        .Where(entry => IsWeighting(entry.Key) == weighting)
        .ToDictionary(entry => weighting ? entry.Key[WeightingPrefix.Length..] : entry.Key, entry => entry.Value);

    private static bool IsWeighting(string name) => name.StartsWith(WeightingPrefix, StringComparison.Ordinal);
}

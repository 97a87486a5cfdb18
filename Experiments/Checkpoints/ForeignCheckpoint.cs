using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Experiments.Checkpoints;

/// <summary>
/// A network saved by another program: a published checkpoint, a state dict or a safetensors file. It does not say which architecture it
/// has: that takes a configuration.
/// </summary>
/// <param name="File">The file.</param>
/// <param name="Kind">The kind of file, for messages.</param>
/// <param name="Tensors">The backbone's state by name; that of the WPN with <see cref="WeightingPrefix"/>.</param>
/// <param name="Unread">Values of the networks, by name, that cannot be read as tensors.</param>
/// <param name="Epochs">Completed epochs according to the file; 0: unknown.</param>
/// <param name="Metadata">Other scalar values of a published checkpoint: <c>arch</c>, <c>best_prec1</c>, …</param>
/// <param name="Optimiser">The backbone's optimiser state in the layout of <c>torch.optim.SGD</c>; null: unknown.</param>
/// <param name="WeightingOptimiser">The WPN's optimiser state in the layout of <c>torch.optim.Adam</c>; null: unknown.</param>
internal sealed record ForeignCheckpoint(
    string File,
    string Kind,
    Dictionary<string, Tensor> Tensors,
    IReadOnlyDictionary<string, TorchOpaque> Unread,
    int Epochs,
    IReadOnlyDictionary<string, TorchValue> Metadata,
    TorchDictionary? Optimiser,
    TorchDictionary? WeightingOptimiser)
{
    /// <summary>The prefix of the WPN's tensor names; in a published checkpoint it is a separate key.</summary>
    public const string WeightingPrefix = ForeignFile.Weighting + ".";

    /// <summary>The backbone's tensors.</summary>
    public Dictionary<string, Tensor> BackboneTensors => Part(weighting: false);

    /// <summary>The number of WPN tensors.</summary>
    public int WeightingTensors => Tensors.Count - BackboneTensors.Count;

    /// <summary>The networks and optimisers of a run's model.</summary>
    /// <param name="source">Its origin, for messages.</param>
    /// <param name="state">The model's state; its tensors are not copied.</param>
    /// <param name="trained">The names of the parameters that the phase trains, in their order.</param>
    /// <param name="phase">The phase that trained it.</param>
    /// <param name="epochs">Completed epochs of this phase; 0: unknown.</param>
    /// <param name="facts">The metadata of a published checkpoint.</param>
    public static ForeignCheckpoint From(
        string source, StateTree state, IReadOnlyList<string> trained, TrainingPhase phase, int epochs,
        IReadOnlyDictionary<string, TorchValue> facts)
    {
        Dictionary<string, TorchValue> known = new(facts);
        known.TryAdd("arch", phase.Settings.Model.Backbone.Name);
        return new ForeignCheckpoint(
            source,
            "a checkpoint of imta train",
            TensorsOf(state),
            new Dictionary<string, TorchOpaque>(),
            epochs,
            known,
            PublishedOptimisers.Sgd(state.Group(ForeignFile.Optimiser), trained, phase),
            state.Groups.TryGetValue(ForeignFile.WeightingOptimiser, out StateTree? adam)
                ? PublishedOptimisers.Adam(adam, phase.Settings.Meta.Optimiser)
                : null);
    }

    /// <summary>The tensors of a model's networks, by the names of <see cref="Tensors"/>.</summary>
    public static Dictionary<string, Tensor> TensorsOf(StateTree state)
    {
        IEnumerable<(string Name, Tensor Tensor)> weighting = state.Groups.TryGetValue(ForeignFile.Weighting, out StateTree? network)
            ? network.Tensors.Select(entry => (WeightingPrefix + entry.Key, entry.Value))
            : [];
        return state.Group(ForeignFile.Backbone).Tensors.Select(entry => (entry.Key, entry.Value)).Concat(weighting).ToDictionary();
    }

    /// <summary>The parts of a model's state for which the published layout has no place, such as an extension's weighting.</summary>
    public static string[] Unpublished(StateTree state) =>
    [
        .. state.Groups.Keys.Concat(state.Tensors.Keys).Concat(state.Numbers.Keys)
            .Except([ForeignFile.Backbone, ForeignFile.Optimiser, ForeignFile.Weighting, ForeignFile.WeightingOptimiser]),
    ];

    /// <summary>Whether a tensor is the WPN's, by its name.</summary>
    public static bool IsWeighting(string name) => name.StartsWith(WeightingPrefix, StringComparison.Ordinal);

    /// <summary>
    /// The phase of the configured run that trained it: phase II wraps a frozen network in its own; in the mixed regime nothing
    /// distinguishes the phases, and the last is assumed.
    /// </summary>
    public TrainingPhase PhaseOf(Settings settings)
    {
        TrainingPhase last = TrainingPhase.ForRun(settings)[^1];
        bool isWrapped = Tensors.Keys.Any(name => name.StartsWith("net.", StringComparison.Ordinal));
        return last.FreezesNetwork && !isWrapped ? TrainingPhase.ForRun(settings, 1) : last;
    }

    /// <summary>Completed epochs of the run, given the phase.</summary>
    public int EpochsOf(TrainingPhase phase) => Epochs == 0 ? 0 : phase.EpochsBefore + Epochs;

    /// <summary>Copies the backbone's tensors into a network.</summary>
    /// <returns>How well they fit.</returns>
    /// <exception cref="UsageException">One is missing or has a different shape.</exception>
    public StateFit Restore(MultiExitNetwork network)
    {
        Dictionary<string, Tensor> state = network.state_dict();
        return Copy(For(state.Keys).BackboneTensors, state);
    }

    /// <summary>The file for a network with these names: Lightning's prefix is restored if the network's own names have it.</summary>
    public ForeignCheckpoint For(IReadOnlyCollection<string> network)
    {
        return network.Count(Tensors.ContainsKey) < network.Intersect(Tensors.Keys.Select(Prefixed)).Count()
            ? this with
            {
                Tensors = Tensors.ToDictionary(entry => Prefixed(entry.Key), entry => entry.Value),
                Unread = Unread.ToDictionary(entry => Prefixed(entry.Key), entry => entry.Value),
            }
            : this;

        static string Prefixed(string name) => IsWeighting(name) ? name : ForeignFile.LightningPrefix + name;
    }

    /// <summary>Copies the tensors into those of a model; the optimisers' state is not copied.</summary>
    /// <exception cref="UsageException">One is missing or has a different shape.</exception>
    public void Restore(StateTree model) => Copy(Tensors, TensorsOf(model));

    /// <summary>What a copy of the file lacks, for the user.</summary>
    /// <param name="published">Whether it is in the published layout, with optimisers.</param>
    public IEnumerable<string> Omissions(bool published)
    {
        if (Unread.Count > 0)
        {
            (string name, TorchValue value) = Unread.First();
            yield return $"{Unread.Count} of its values are not supported and are skipped ({Terminal.Sanitize(name)} is {value})";
        }

        foreach (string key in published ? (string[])[ForeignFile.Optimiser, ForeignFile.WeightingOptimiser] : [])
        {
            if ((key == ForeignFile.Optimiser ? Optimiser : WeightingOptimiser)?.FindOpaque() is { } part)
            {
                yield return $"its {key} is skipped, since it contains {part}, which is not supported";
            }
        }
    }

    /// <summary>Writes it for other programs, without what <see cref="Omissions"/> lists.</summary>
    /// <param name="path">The file.</param>
    /// <param name="format">Not <see cref="CheckpointFormat.Native"/>, which needs a run's configuration.</param>
    /// <exception cref="ArgumentOutOfRangeException">It is.</exception>
    public void Write(string path, CheckpointFormat format)
    {
        ArgumentOutOfRangeException.ThrowIfEqual(format, CheckpointFormat.Native);
        if (format == CheckpointFormat.Safetensors)
        {
            Safetensors.Write(path, Tensors);
            return;
        }

        var content = new TorchDictionary { [ForeignFile.Epoch] = Epochs };
        foreach ((string name, TorchValue value) in Metadata.OrderBy(fact => fact.Key, StringComparer.Ordinal))
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
            if (value is not null && value.FindOpaque() is null)
            {
                content[key] = value;
            }
        }
    }

    private StateFit Copy(Dictionary<string, Tensor> from, Dictionary<string, Tensor> to)
    {
        var fit = StateFit.Compare(to, from);
        if (!fit.Fits)
        {
            string without = fit.Missing.Any(IsWeighting) ? " (meta.enabled=false if it has no weight-prediction network)" : "";
            throw new UsageException(
                $"{File}, {Kind}, does not match the configured network: {fit.Problem()}; {WayOut(fit)}{without}");
        }

        using IDisposable noGrad = no_grad();
        foreach ((string name, Tensor tensor) in to.Where(entry => from.ContainsKey(entry.Key)))
        {
            tensor.copy_(from[name]);
        }

        return fit;
    }

    private string WayOut(StateFit fit)
        => fit.Missing.FirstOrDefault(Unread.ContainsKey) is { } unread ? $"its {unread} is {Unread[unread].Instead("tensor")}"
            : fit.PrefixOf([.. fit.Missing.Where(name => !IsWeighting(name))]) is { } prefix
                ? $"it has them with the prefix {prefix} in their names: in Python, remove it with name.removeprefix('{prefix}')"
                : "use another --config, or override its keys with --set";

    private Dictionary<string, Tensor> Part(bool weighting) => Tensors
        .Where(entry => IsWeighting(entry.Key) == weighting)
        .ToDictionary(entry => weighting ? entry.Key[WeightingPrefix.Length..] : entry.Key, entry => entry.Value);
}

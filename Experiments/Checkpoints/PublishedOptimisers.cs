using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Experiments.Checkpoints;

/// <summary>
/// The optimiser state in the layout of <c>torch.optim</c>: by parameter index, in the order of the network's parameter names.
/// </summary>
internal static class PublishedOptimisers
{
    private const string Groups = "param_groups";
    private const string Members = "params";
    private const string State = "state";
    private const string Momentum = "momentum_buffer";
    private const string Mean = "exp_avg";
    private const string Square = "exp_avg_sq";
    private const string Step = "step";

    /// <summary>The backbone's. IMTA's phase II has one group for the linear layers and one for the transfers.</summary>
    /// <param name="sgd">The state of <see cref="Meta.Optimisers.Sgd"/>.</param>
    /// <param name="names">Names of the parameters that it updates, in their order.</param>
    /// <param name="phase">The phase that trains them.</param>
    public static TorchDictionary Sgd(StateTree sgd, IReadOnlyList<string> names, TrainingPhase phase)
    {
        OrderedDictionary<string, Tensor> buffers = sgd.Group(Momentum).Tensors;
        var state = new TorchDictionary();
        foreach ((int index, string name) in names.Index().Where(entry => buffers.ContainsKey(entry.Item)))
        {
            state[index] = new TorchDictionary { [Momentum] = buffers[name] };
        }

        TrainOptions train = phase.Settings.Train;
        IEnumerable<TorchValue> groups = names
            .Select((name, index) => (Part: !phase.FreezesNetwork ? "" : name.Split('.')[0], Index: (TorchValue)index))
            .GroupBy(entry => entry.Part, entry => entry.Index)
            .Select(places => new TorchDictionary
            {
                ["lr"] = train.Rate,
                ["momentum"] = train.Momentum,
                ["dampening"] = train.Dampening,
                ["weight_decay"] = train.WeightDecay,
                ["nesterov"] = train.Nesterov,
                [Members] = new TorchList([.. places]),
            });
        return new TorchDictionary { [State] = state, [Groups] = new TorchList([.. groups]) };
    }

    /// <summary>The WPN's.</summary>
    /// <param name="adam">The state of <see cref="Meta.Optimisers.Adam"/>.</param>
    /// <param name="options">Rate and decay.</param>
    public static TorchDictionary Adam(StateTree adam, MetaOptimiserOptions options)
    {
        (Tensor[] means, Tensor[] squares) = ([.. adam.Group(Mean).Tensors.Values], [.. adam.Group(Square).Tensors.Values]);
        long steps = adam.WholeNumber(Step);
        var state = new TorchDictionary();
        for (int p = 0; p < (steps == 0 ? 0 : means.Length); p++)
        {
            state[p] = new TorchDictionary { [Step] = tensor((float)steps), [Mean] = means[p], [Square] = squares[p] };
        }

        var group = new TorchDictionary
        {
            ["lr"] = options.Rate,
            ["betas"] = new TorchTuple([Meta.Optimisers.Adam.Beta1, Meta.Optimisers.Adam.Beta2]),
            ["eps"] = Meta.Optimisers.Adam.Epsilon,
            ["weight_decay"] = options.WeightDecay,
            ["amsgrad"] = false,
            [Members] = new TorchList([.. Enumerable.Range(0, means.Length).Select(index => (TorchValue)index)]),
        };
        return new TorchDictionary { [State] = state, [Groups] = new TorchList([group]) };
    }

    /// <summary>Replaces a model's state of both optimisers with the file's, as far as it matches.</summary>
    /// <param name="model">The model's state.</param>
    /// <param name="names">Names of the parameters that the backbone's optimiser updates, in their order.</param>
    /// <param name="file">The file.</param>
    /// <returns>The number of parameters whose momentum, and of WPN parameters whose moments, were restored.</returns>
    public static (int Momentum, int Moments) Replace(StateTree model, IReadOnlyList<string> names, ForeignCheckpoint file)
    {
        StateTree network = model.Group(ForeignFile.Backbone);
        StateTree momentum = Take(file.Optimiser, Momentum, [.. names.Select(name => (name, network.Tensor(name)))]);
        model.Groups[ForeignFile.Optimiser] = new StateTree { Groups = { [Momentum] = momentum } };
        int moments = model.Groups.TryGetValue(ForeignFile.WeightingOptimiser, out StateTree? adam)
            && Adam(adam, file.WeightingOptimiser) is { } taken
                ? (model.Groups[ForeignFile.WeightingOptimiser] = taken).Group(Mean).Tensors.Count
                : 0;
        return (momentum.Tensors.Count, moments);
    }

    /// <summary>The state of the WPN's optimiser; null if the file lacks any of it.</summary>
    private static StateTree? Adam(StateTree model, TorchDictionary? file)
    {
        (string, Tensor)[] parameters = [.. model.Group(Mean).Tensors.Select(entry => (entry.Key, entry.Value))];
        StateTree means = Take(file, Mean, parameters), squares = Take(file, Square, parameters);
        long[] steps = [.. States(file, parameters.Length).Select(state => Whole(state?.Entries.GetValueOrDefault(Step))).Distinct()];
        return means.Tensors.Count == parameters.Length && squares.Tensors.Count == parameters.Length && steps is [> 0]
            ? new StateTree { Numbers = { [Step] = steps[0] }, Groups = { [Mean] = means, [Square] = squares } }
            : null;
    }

    /// <summary>
    /// One tensor of each parameter's state, where there is one; none at all if any has a different shape: it is then another network's.
    /// </summary>
    private static StateTree Take(TorchDictionary? optimiser, string key, (string Name, Tensor Like)[] parameters)
    {
        Tensor?[] tensors =
        [
            .. States(optimiser, parameters.Length).Select(state => (state?.Entries.GetValueOrDefault(key) as TorchTensor)?.Value),
        ];
        (string Name, Tensor Like, Tensor? Value)[] taken =
        [
            .. parameters.Zip(tensors, (parameter, value) => (parameter.Name, parameter.Like, value)),
        ];
        return taken.All(entry => entry.Value is null || entry.Value.shape.SequenceEqual(entry.Like.shape))
            ? new StateTree(
                taken.Where(entry => entry.Value is not null)
                    .Select(entry => KeyValuePair.Create(entry.Name, entry.Value!.to_type(entry.Like.dtype))))
            : new StateTree();
    }

    /// <summary>The state of each parameter; null if missing; null for all if the count differs.</summary>
    private static TorchDictionary?[] States(TorchDictionary? optimiser, int count)
    {
        IEnumerable<TorchDictionary> groups = (optimiser?.Entries.GetValueOrDefault(Groups)?.Parts ?? []).OfType<TorchDictionary>();
        TorchValue[] places = [.. groups.SelectMany(group => group.Entries.GetValueOrDefault(Members)?.Parts ?? [])];
        return places.Length == count && optimiser?.Entries.GetValueOrDefault(State) is TorchDictionary { Entries: var states }
            ? [.. places.Select(index => index is TorchInteger(var number) ? states.GetValueOrDefault(number) as TorchDictionary : null)]
            : new TorchDictionary?[count];
    }

    private static long Whole(TorchValue? step) => step switch
    {
        TorchInteger(var number) => number,
        TorchFloat(var number) => (long)number,
        TorchTensor(var number) when number.numel() == 1 => number.to_type(ScalarType.Int64).item<long>(),
        _ => 0,
    };
}

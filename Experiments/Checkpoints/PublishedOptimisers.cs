using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Training;
using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;
using TorchSharp.Modules;
using Adam = Imta.MetaWeight.Meta.Adam;

namespace Imta.MetaWeight.Experiments.Checkpoints;

/// <summary>The optimisers' state as <c>torch.optim</c> has it: by the place of a parameter among all, in the order of the network's names.</summary>
internal static class PublishedOptimisers
{
    private const string Groups = "param_groups";
    private const string Members = "params";
    private const string State = "state";
    private const string Momentum = "momentum_buffer";
    private const string Mean = "exp_avg";
    private const string Square = "exp_avg_sq";
    private const string Step = "step";

    /// <summary>The backbone's: SGD. In phase II IMTA has a group for the linear layers and one for the transfers.</summary>
    public static TorchDictionary Of(RunModel model, TrainingPhase phase)
    {
        var state = new TorchDictionary();
        for (int p = 0; p < model.Network.Parameters.Count; p++)
        {
            if (model.Optimiser.Buffers[p] is { } buffer)
            {
                state[p] = new TorchDictionary { [Momentum] = buffer };
            }
        }

        TrainOptions train = phase.Settings.Train;
        IEnumerable<TorchValue> groups = model.Network.ParameterNames
            .Select((name, place) => (Part: phase.Number == 1 ? "" : name.Split('.')[0], Place: (TorchValue)place))
            .GroupBy(entry => entry.Part, entry => entry.Place)
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

    /// <summary>The WPN's: Adam.</summary>
    public static TorchDictionary Of(LearnedWeighting weighting, MetaOptimiserOptions options)
    {
        Adam adam = weighting.Optimiser;
        int count = adam.Steps == 0 ? 0 : adam.Means.Count;
        var state = new TorchDictionary();
        for (int p = 0; p < count; p++)
        {
            state[p] = new TorchDictionary { [Step] = tensor((float)adam.Steps), [Mean] = adam.Means[p], [Square] = adam.Squares[p] };
        }

        var group = new TorchDictionary
        {
            ["lr"] = options.Rate,
            ["betas"] = new TorchTuple([Adam.Beta1, Adam.Beta2]),
            ["eps"] = Adam.Epsilon,
            ["weight_decay"] = options.WeightDecay,
            ["amsgrad"] = false,
            [Members] = new TorchList([.. Enumerable.Range(0, adam.Means.Count).Select(place => (TorchValue)place)]),
        };
        return new TorchDictionary { [State] = state, [Groups] = new TorchList([group]) };
    }

    /// <summary>Takes over what a file knows of both optimisers and fits the model's.</summary>
    /// <returns>How many parameters' momentum, and how many of the WPN's moments.</returns>
    public static (int Momentum, int Moments) Restore(RunModel model, ForeignCheckpoint file)
    {
        Tensor?[] momentum = Take(file.Optimiser, Momentum, model.Network.Parameters);
        model.Optimiser.Restore([.. momentum.Zip(model.Network.Parameters, (buffer, parameter) => buffer?.to_type(parameter.dtype))]);
        return (momentum.Count(buffer => buffer is not null), model.Weighting is { } weighting ? Restore(weighting, file.WeightingOptimiser) : 0);
    }

    private static int Restore(LearnedWeighting weighting, TorchDictionary? optimiser)
    {
        IReadOnlyList<Parameter> parameters = weighting.Network.Parameters;
        Tensor?[] means = Take(optimiser, Mean, parameters), squares = Take(optimiser, Square, parameters);
        long[] steps = [.. States(optimiser, parameters.Count).Select(state => Whole(state?.Entries.GetValueOrDefault(Step))).Distinct()];
        if (means.Contains(null) || squares.Contains(null) || steps is not [> 0])
        {
            return 0;
        }

        weighting.Optimiser.Restore(means!, squares!, steps[0]);
        return means.Length;
    }

    /// <summary>A tensor of each parameter's state; null where there is none, or of all where one has another shape: then it is another network's.</summary>
    private static Tensor?[] Take(TorchDictionary? optimiser, string key, IReadOnlyList<Parameter> parameters)
    {
        Tensor?[] tensors = [.. States(optimiser, parameters.Count).Select(state => (state?.Entries.GetValueOrDefault(key) as TorchTensor)?.Value)];
        bool fits = tensors.Zip(parameters).All(pair => pair.First is null || pair.First.shape.SequenceEqual(pair.Second.shape));
        return fits ? tensors : new Tensor?[parameters.Count];
    }

    /// <summary>The state of each parameter; null where there is none, and for all where they are not as many.</summary>
    private static TorchDictionary?[] States(TorchDictionary? optimiser, int count)
    {
        IEnumerable<TorchDictionary> groups = (optimiser?.Entries.GetValueOrDefault(Groups)?.Parts ?? []).OfType<TorchDictionary>();
        TorchValue[] places = [.. groups.SelectMany(group => group.Entries.GetValueOrDefault(Members)?.Parts ?? [])];
        return places.Length == count && optimiser?.Entries.GetValueOrDefault(State) is TorchDictionary { Entries: var states }
            ? [.. places.Select(place => place is TorchInteger(var number) ? states.GetValueOrDefault(number) as TorchDictionary : null)]
            : new TorchDictionary?[count];
    }

    private static long Whole(TorchValue? step) => step switch
    {
        TorchInteger(var number) => number,
        TorchReal(var number) => (long)number,
        TorchTensor(var number) when number.numel() == 1 => number.to_type(ScalarType.Int64).item<long>(),
        _ => 0,
    };
}

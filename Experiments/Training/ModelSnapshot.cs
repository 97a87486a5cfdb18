namespace Imta.MetaWeight.Experiments.Training;

/// <summary>What a batch changes of a model, as it was before.</summary>
internal sealed class ModelSnapshot : IDisposable
{
    private readonly List<Tensor> _copies = [];
    private readonly RunModel _model;
    private readonly Dictionary<string, Tensor> _network;
    private readonly Dictionary<string, Tensor>? _weighting;
    private readonly Tensor?[] _momentum;
    private readonly (Tensor[] Means, Tensor[] Squares, long Steps)? _moments;

    public ModelSnapshot(RunModel model)
    {
        _model = model;
        _network = Copies(model.Network.state_dict());
        _momentum = [.. model.Optimiser.Buffers.Select(buffer => buffer is null ? null : Copy(buffer))];
        if (model.Weighting is { } weighting)
        {
            _weighting = Copies(weighting.Network.state_dict());
            _moments = ([.. weighting.Optimiser.Means.Select(Copy)], [.. weighting.Optimiser.Squares.Select(Copy)], weighting.Optimiser.Steps);
        }
    }

    /// <summary>Takes the model back.</summary>
    public void Restore()
    {
        _model.Network.load_state_dict(_network);
        _model.Optimiser.Restore(_momentum);
        if (_model.Weighting is { } weighting)
        {
            weighting.Network.load_state_dict(_weighting!);
            weighting.Optimiser.Restore(_moments!.Value.Means, _moments.Value.Squares, _moments.Value.Steps);
        }
    }

    public void Dispose() => _copies.ForEach(copy => copy.Dispose());

    private Dictionary<string, Tensor> Copies(Dictionary<string, Tensor> state) => state.ToDictionary(entry => entry.Key, entry => Copy(entry.Value));

    private Tensor Copy(Tensor value)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor copy = scope.Detach(value.detach().clone());
        _copies.Add(copy);
        return copy;
    }
}

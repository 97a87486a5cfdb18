namespace Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

/// <summary>
/// The containers and tensors of a pickled dictionary. A container may occur several times, but neither within itself nor so often that
/// traversal takes forever (n bytes can encode 2ⁿ values).
/// </summary>
internal sealed class PickledContents
{
    /// <summary>The maximum nesting depth of containers.</summary>
    public const int MaxDepth = 100;

    // The extent of each container: its values, counted at every occurrence, and its depth.
    private readonly Dictionary<TorchValue, (long Values, int Levels)> _containers = new(ReferenceEqualityComparer.Instance);
    private readonly HashSet<PickledTensor> _tensors = [];
    private readonly long _mostValues;

    /// <param name="root">The object read by <see cref="PickleReader"/>.</param>
    /// <param name="maxValues">The maximum number of values.</param>
    /// <exception cref="InvalidDataException">A cyclic container, too many values, or nesting too deep.</exception>
    public PickledContents(TorchDictionary root, long maxValues)
    {
        _mostValues = maxValues;
        Measure(root, 0);
    }

    /// <summary>Each tensor once.</summary>
    public IReadOnlyCollection<PickledTensor> Tensors => _tensors;

    /// <summary>Replaces tensor descriptions with tensors.</summary>
    public void Fill(Dictionary<PickledTensor, Tensor> tensors)
    {
        foreach (TorchValue container in _containers.Keys)
        {
            switch (container)
            {
                case TorchDictionary { Entries: var entries }:
                    for (int k = 0; k < entries.Count; k++)
                    {
                        entries.SetAt(k, Filled(entries.GetAt(k).Value));
                    }

                    break;
                case TorchTuple(var items):
                    Fill(items);
                    break;
                case TorchList(var items):
                    Fill(items);
                    break;
            }
        }

        void Fill(IList<TorchValue> items)
        {
            for (int k = 0; k < items.Count; k++)
            {
                items[k] = Filled(items[k]);
            }
        }

        TorchValue Filled(TorchValue value) => value is PickledTensor tensor ? tensors[tensor] : value;
    }

    private (long Values, int Levels) Measure(TorchValue value, int depth)
    {
        switch (value)
        {
            case PickledTensor tensor:
                _tensors.Add(tensor);
                return (1, 0);
            case not (TorchDictionary or TorchList or TorchTuple):
                return (1, 0);
        }

        if (!_containers.TryGetValue(value, out var span))
        {
            // A cyclic container is revisited until the nesting limit is exceeded.
            _containers.Add(value, (1, MaxDepth));
            span = (1, 1);
            foreach (TorchValue part in value.Parts)
            {
                (long values, int levels) = depth < MaxDepth ? Measure(part, depth + 1) : (0, MaxDepth);
                span = (Math.Min(span.Values + values, long.MaxValue / 2), Math.Max(span.Levels, levels + 1));
            }

            _containers[value] = span;
        }

        if (depth + span.Levels > MaxDepth || span.Values > _mostValues)
        {
            throw new InvalidDataException($"its values are nested more than {MaxDepth} deep, or contain each other too often");
        }

        return span;
    }
}

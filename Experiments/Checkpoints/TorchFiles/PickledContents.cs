namespace Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

/// <summary>
/// The containers and tensors of a pickled dictionary. A container may occur several times, but neither within itself nor so often that
/// traversal takes forever (n bytes can encode 2ⁿ values): an entry of the root in which one does becomes opaque.
/// </summary>
internal sealed class PickledContents
{
    /// <summary>The maximum nesting depth of containers.</summary>
    public const int MaxDepth = 100;

    // The extent of each container: its values, counted at every occurrence, and its depth.
    private readonly Dictionary<TorchValue, (long Values, int Levels)> _containers = new(ReferenceEqualityComparer.Instance);
    private readonly HashSet<PickledTensor> _tensors = [];
    private readonly long _valuesLeft;

    /// <param name="root">The object read by <see cref="PickleReader"/>; values in it that cannot be traversed become opaque.</param>
    /// <param name="maxValues">The maximum number of values.</param>
    public PickledContents(TorchDictionary root, long maxValues)
    {
        _valuesLeft = maxValues;
        for (int k = 0; k < root.Entries.Count; k++)
        {
            if (Measure(root.Entries.GetAt(k).Value, 1) is (long values, _))
            {
                _valuesLeft -= values;
            }
            else
            {
                root.Entries.SetAt(k, new TorchOpaque("builtins", $"object nested more than {MaxDepth} deep"));
            }
        }

        _containers[root] = (0, 0);
    }

    /// <summary>Each tensor once.</summary>
    public IReadOnlyCollection<PickledTensor> Tensors => _tensors;

    /// <summary>Replaces tensor descriptions with tensors; those without one become opaque.</summary>
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

        TorchValue Filled(TorchValue value)
            => value is not PickledTensor tensor ? value
                : tensors.TryGetValue(tensor, out Tensor? made) ? made
                : new TorchExpanded(tensor.Bytes);
    }

    /// <summary>The number of values in it, and its levels of nesting; null: too many.</summary>
    private (long Values, int Levels)? Measure(TorchValue value, int depth)
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
                if ((depth < MaxDepth ? Measure(part, depth + 1) : null) is not (long values, int levels))
                {
                    return null; // its recorded extent stays that of a cyclic container
                }

                span = (Math.Min(span.Values + values, long.MaxValue / 2), Math.Max(span.Levels, levels + 1));
            }

            _containers[value] = span;
        }

        return depth + span.Levels > MaxDepth || span.Values > _valuesLeft ? null : span;
    }
}

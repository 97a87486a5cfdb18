using System.Collections;
using static TorchSharp.torch;

namespace TorchSharp.PyBridge;

/// <summary>
/// The containers and tensors of a pickled dictionary that holds nothing but tensors, plain values and more containers. A container
/// may stand in several places, but neither in itself nor so often that walking the values takes forever (n bytes can spell 2ⁿ).
/// </summary>
internal sealed class PickledContents
{
    /// <summary>How deep containers may lie in containers.</summary>
    public const int DeepestNesting = 100;

    // What each container spans: its values, counted wherever they stand, and its levels.
    private readonly Dictionary<object, (long Values, int Levels)> _containers = new(ReferenceEqualityComparer.Instance);
    private readonly HashSet<PickledTensor> _tensors = [];
    private readonly long _mostValues;

    /// <param name="root">What <see cref="PickleReader"/> gave.</param>
    /// <param name="mostValues">How many values it may have.</param>
    /// <exception cref="InvalidDataException">A class or a bare storage as a value, a container in itself, too many or too deep values.</exception>
    public PickledContents(Hashtable root, long mostValues)
    {
        _mostValues = mostValues;
        Span(root, 0);
    }

    /// <summary>Each tensor once.</summary>
    public IReadOnlyCollection<PickledTensor> Tensors => _tensors;

    /// <summary>Puts tensors where their descriptions stand.</summary>
    public void Fill(Dictionary<PickledTensor, Tensor> tensors)
    {
        foreach (object container in _containers.Keys)
        {
            if (container is Hashtable dictionary)
            {
                foreach (object key in dictionary.Keys.Cast<object>().Where(key => dictionary[key] is PickledTensor).ToArray())
                {
                    dictionary[key] = tensors[(PickledTensor)dictionary[key]!];
                }
            }
            else if (container is IList list)
            {
                for (int k = 0; k < list.Count; k++)
                {
                    list[k] = list[k] is PickledTensor tensor ? tensors[tensor] : list[k];
                }
            }
        }
    }

    private (long Values, int Levels) Span(object? value, int depth)
    {
        switch (value)
        {
            case null or string or long or double or bool:
                return (1, 0);
            case PickledTensor tensor:
                _tensors.Add(tensor);
                return (1, 0);
            case not (Hashtable or IList):
                throw new InvalidDataException("it has a class or a bare storage where a value belongs");
        }

        if (!_containers.TryGetValue(value, out var span))
        {
            // A container that stands in itself is met again while it has too many levels.
            _containers.Add(value, (1, DeepestNesting));
            span = (1, 1);
            foreach (object? part in value is Hashtable dictionary ? dictionary.Values : (IList)value)
            {
                (long values, int levels) = depth < DeepestNesting ? Span(part, depth + 1) : (0, DeepestNesting);
                span = (Math.Min(span.Values + values, long.MaxValue / 2), Math.Max(span.Levels, levels + 1));
            }

            _containers[value] = span;
        }

        if (depth + span.Levels > DeepestNesting || span.Values > _mostValues)
        {
            throw new InvalidDataException($"its values are nested more than {DeepestNesting} deep, or contain each other too often");
        }

        return span;
    }
}

using System.Collections;
using System.Globalization;

namespace Imta.MetaWeight.Backbones;

/// <summary>An immutable list of integers that compares by value, so that records with list members do too.</summary>
public sealed class IntList : IReadOnlyList<int>, IEquatable<IntList>
{
    private readonly int[] _items;

    private IntList(int[] items) => _items = items;

    /// <summary>Creates a list of these items; they are copied unless they already are an <see cref="IntList"/>.</summary>
    /// <exception cref="ArgumentNullException"><paramref name="items"/> is null.</exception>
    public static IntList From(IReadOnlyList<int> items)
    {
        ArgumentNullException.ThrowIfNull(items);
        return items as IntList ?? new IntList([.. items]);
    }

    /// <inheritdoc/>
    public int Count => _items.Length;

    /// <inheritdoc/>
    public int this[int index] => _items[index];

    /// <summary>Whether both contain the same items in the same order.</summary>
    public bool Equals(IntList? other) => other is not null && _items.AsSpan().SequenceEqual(other._items);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as IntList);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        var hash = new HashCode();
        foreach (var item in _items)
        {
            hash.Add(item);
        }

        return hash.ToHashCode();
    }

    /// <inheritdoc/>
    public IEnumerator<int> GetEnumerator() => ((IEnumerable<int>)_items).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>The items as a YAML flow list: <c>[1, 2, 4]</c>.</summary>
    public override string ToString() =>
        "[" + string.Join(", ", _items.Select(item => item.ToString(CultureInfo.InvariantCulture))) + "]";
}

/// <summary>How the number of layers changes from block to block.</summary>
public enum StepMode
{
    /// <summary>Every block has <c>step</c> layers; the first block of an MSDNet has <c>base</c>.</summary>
    Even,

    /// <summary>MSDNet: <c>base</c> layers in block 1, <c>step · k + 1</c> in block k + 1. RANet: <c>step · k</c> in block k.</summary>
    LinGrow,
}

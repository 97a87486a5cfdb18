namespace Imta.MetaWeight.Backbones;

/// <summary>An object with state: everything about it that a checkpoint stores and a batch may change.</summary>
public interface IStateful
{
    /// <summary>The current state. Its tensors are the owner's own, not copies.</summary>
    StateTree State { get; }

    /// <summary>Loads a copy of a state of the same kind, whose tensors may be on any device.</summary>
    /// <param name="state">Such as another object's <see cref="State"/>; entries that are not this object's are ignored.</param>
    /// <exception cref="InvalidDataException">An entry is missing or does not match.</exception>
    void LoadState(StateTree state);
}

/// <summary>
/// Named tensors and numbers, and groups of them: a network's, an optimiser's or a whole run's state, in insertion order.
/// </summary>
public sealed class StateTree
{
    /// <summary>An empty tree.</summary>
    public StateTree()
    {
    }

    /// <summary>A tree of tensors alone, such as a network's <c>state_dict</c>.</summary>
    /// <param name="tensors">Tensors by name.</param>
    public StateTree(IEnumerable<KeyValuePair<string, Tensor>> tensors)
    {
        foreach ((string name, Tensor tensor) in tensors)
        {
            Tensors.Add(name, tensor);
        }
    }

    /// <summary>Tensors by name.</summary>
    public OrderedDictionary<string, Tensor> Tensors { get; } = [];

    /// <summary>Numbers by name, including integers.</summary>
    public OrderedDictionary<string, double> Numbers { get; } = [];

    /// <summary>Subtrees by name.</summary>
    public OrderedDictionary<string, StateTree> Groups { get; } = [];

    /// <summary>
    /// All tensors, including those of groups, whose names are prefixed with the groups': <c>optimizer.momentum_buffer.…</c>
    /// </summary>
    public IEnumerable<(string Name, Tensor Tensor)> AllTensors => Tensors.Select(entry => (entry.Key, entry.Value))
        .Concat(Groups.SelectMany(group => group.Value.AllTensors.Select(entry => ($"{group.Key}.{entry.Name}", entry.Tensor))));

    /// <summary>A tensor.</summary>
    /// <exception cref="InvalidDataException">There is none of this name.</exception>
    public Tensor Tensor(string name) => Find(Tensors, name);

    /// <summary>A number.</summary>
    /// <exception cref="InvalidDataException">There is none of this name.</exception>
    public double Number(string name) => Find(Numbers, name);

    /// <summary>An integer.</summary>
    /// <exception cref="InvalidDataException">There is none of this name, or it is not an integer.</exception>
    public long WholeNumber(string name)
        => Number(name) is var number && Math.Abs(number) <= 1L << 53 && Math.Truncate(number) == number
            ? (long)number
            : throw new InvalidDataException(FormattableString.Invariant($"its '{name}' is {number}; expected an integer"));

    /// <summary>A group.</summary>
    /// <exception cref="InvalidDataException">There is none of this name.</exception>
    public StateTree Group(string name) => Find(Groups, name);

    /// <summary>Adds all entries of another tree.</summary>
    /// <exception cref="ArgumentException">Both have an entry of the same name.</exception>
    public void Add(StateTree other)
    {
        Add(Tensors, other.Tensors);
        Add(Numbers, other.Numbers);
        Add(Groups, other.Groups);
    }

    /// <summary>An independent copy; its tensors belong to no dispose scope.</summary>
    public StateTree Copy()
    {
        using DisposeScope scope = NewDisposeScope();
        var copy = new StateTree(Tensors.Select(entry => KeyValuePair.Create(entry.Key, scope.Detach(entry.Value.detach().clone()))));
        Add(copy.Numbers, Numbers);
        Add(copy.Groups, Groups.Select(group => KeyValuePair.Create(group.Key, group.Value.Copy())));
        return copy;
    }

    private static void Add<T>(OrderedDictionary<string, T> to, IEnumerable<KeyValuePair<string, T>> from)
    {
        foreach ((string name, T value) in from)
        {
            to.Add(name, value);
        }
    }

    private static T Find<T>(OrderedDictionary<string, T> entries, string name)
        => entries.TryGetValue(name, out T? value) ? value : throw new InvalidDataException($"it has no '{name}'");
}

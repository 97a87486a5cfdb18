namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>The value of a setting that names an entry of a <see cref="Registry{T}"/>, as the settings' reader and writer see it.</summary>
internal interface IChoice
{
    /// <summary>The chosen name.</summary>
    string Name { get; }

    /// <summary>The names that can be chosen; each is also a group of settings beside this one.</summary>
    IReadOnlyList<string> Names { get; }

    /// <summary>The options of one of <see cref="Names"/>, chosen or not: a record of settings.</summary>
    object OptionsOf(string name);

    /// <summary>The same options with another name chosen; null: it is none of <see cref="Names"/>.</summary>
    IChoice? TryChoose(string name);
}

/// <summary>An entry of a registry, chosen by name, with its options. Those of the other entries are kept too.</summary>
/// <typeparam name="T">What is registered.</typeparam>
internal sealed class Choice<T> : IChoice, IEquatable<Choice<T>>
    where T : class
{
    private readonly Registry<T> _registry;
    private readonly Dictionary<string, object> _options; // by name

    /// <summary>The registry's first entry, with its default options.</summary>
    public Choice(Registry<T> registry)
        : this(registry, registry.DefaultOptions(), registry.Names[0])
    {
    }

    private Choice(Registry<T> registry, Dictionary<string, object> options, string name)
        => (_registry, _options, Name) = (registry, options, name);

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public IReadOnlyList<string> Names => _registry.Names;

    /// <summary>The chosen entry.</summary>
    public T Value => _registry.Find(Name);

    /// <summary>Its options.</summary>
    public object Options => OptionsOf(Name);

    /// <inheritdoc/>
    public object OptionsOf(string name) => _options[name];

    /// <summary>The same options with another name chosen.</summary>
    /// <exception cref="UsageException">There is no such name.</exception>
    public Choice<T> Choose(string name) => new(_registry, _options, _registry.Checked(name));

    /// <summary>The same choice with other options for a name.</summary>
    /// <exception cref="UsageException">There is no such name.</exception>
    public Choice<T> With(string name, object options) => new(_registry, new(_options) { [_registry.Checked(name)] = options }, Name);

    IChoice? IChoice.TryChoose(string name) => Names.Contains(name) ? Choose(name) : null;

    /// <summary>Whether both choose the same name, and all options are equal.</summary>
    public bool Equals(Choice<T>? other)
        => other is not null && Name == other.Name
        && Names.All(name => OptionsOf(name).Equals(other.OptionsOf(name)));

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as Choice<T>);

    /// <inheritdoc/>
    public override int GetHashCode()
        => Names.Aggregate(Name.GetHashCode(StringComparison.Ordinal), (hash, name) => HashCode.Combine(hash, OptionsOf(name)));
}

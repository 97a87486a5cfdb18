using System.Collections;

namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>What settings of one kind can name, such as backbones: this program's entries, and those that an extension adds.</summary>
/// <remarks>
/// An entry is one line, and brings its name, its own settings, and whatever builds it: see <see cref="Registries"/>. A setting that
/// names one is a property of type <see cref="Choice{T}"/>:
/// <code>
/// [Description("Network with several exits")]
/// public Choice&lt;Backbone&gt; Backbone { get; init; } = new(Registries.Backbones);
/// </code>
/// This alone makes the key <c>model.backbone</c>, whose values are the registered names, and a group <c>model.NAME</c> for each of them,
/// with a key for each property of its options. Reader, writer, <c>imta config</c> and the rules across settings need nothing more.
/// </remarks>
/// <typeparam name="T">What is registered.</typeparam>
/// <param name="kind">What that is, in words: <c>backbone</c>.</param>
/// <param name="name">The name of an entry in YAML.</param>
/// <param name="defaults">New options of an entry, a record of settings with their defaults.</param>
internal sealed class Registry<T>(string kind, Func<T, string> name, Func<T, object> defaults) : IEnumerable<T>
    where T : class
{
    private readonly List<T> _entries = [];
    private string[]? _names;

    /// <summary>The names in the order of registration; once they have been read, nothing can be added.</summary>
    public IReadOnlyList<string> Names => _names ??= [.. _entries.Select(name)];

    /// <summary>The entry of one of <see cref="Names"/>.</summary>
    public T Find(string known) => _entries.First(entry => name(entry) == known);

    /// <summary>A name, if it is registered.</summary>
    /// <exception cref="UsageException">It is not; the message suggests the nearest.</exception>
    public string Checked(string known) => Names.Contains(known) ? known : throw new UsageException(
        $"there is no {kind} {Terminal.Sanitize(known)}; did you mean {Names.MinBy(other => NearestKey.EditDistance(known, other))}?");

    /// <summary>Adds an entry, before any setting is read.</summary>
    /// <exception cref="ArgumentException">Its name is taken, or cannot be a key in YAML.</exception>
    /// <exception cref="InvalidOperationException">Settings have been read.</exception>
    public void Add(T entry)
    {
        string added = name(entry);
        if (_names is not null)
        {
            throw new InvalidOperationException($"the {kind} {added} comes too late: settings have been read without it.");
        }

        if (added.Length == 0 || !char.IsAsciiLetterLower(added[0]) || !added.All(char.IsAsciiLetterOrDigit)
            || SettingsValue.Format(added) != added)
        {
            throw new ArgumentException(
                $"a {kind} cannot be called '{added}': a name is a lower-case letter, then letters and digits.",
                nameof(entry));
        }

        if (_entries.Exists(other => name(other) == added))
        {
            throw new ArgumentException($"there is a {kind} {added} already.", nameof(entry));
        }

        _entries.Add(entry);
    }

    /// <summary>New options of each entry, by name.</summary>
    public Dictionary<string, object> DefaultOptions()
    {
        _ = Names;
        return _entries.ToDictionary(name, defaults);
    }

    /// <inheritdoc/>
    public IEnumerator<T> GetEnumerator() => _entries.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}

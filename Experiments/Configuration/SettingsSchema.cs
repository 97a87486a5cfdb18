using System.Reflection;
using System.Text.Json;

namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>
/// Every key of the configuration, found once by walking <see cref="Settings"/>: a record is a group, any other property a key. A
/// <see cref="Choice{T}"/> is a key, and after the keys of its record there is a group for each name that it can take.
/// Loader, writer and listing share it, so a setting is defined in a single place: its property.
/// </summary>
internal static class SettingsSchema
{
    private static readonly Lazy<SettingsKey[]> All = new(() => [.. KeysOf(() => new Settings())]);
    private static readonly Lazy<Dictionary<string, SettingsKey>> ByName = new(() => Keys.ToDictionary(key => key.Key));
    private static readonly Lazy<string[]> AllGroups = new(() => [.. Keys.SelectMany(key => GroupsOf(key.Key)).Distinct()]);

    /// <summary>All keys in a fixed order, that of the properties.</summary>
    public static IReadOnlyList<SettingsKey> Keys => All.Value;

    /// <summary>Dotted names of all groups (<c>meta</c>, <c>meta.wpn</c>, …), in the order of the keys.</summary>
    public static IReadOnlyList<string> Groups => AllGroups.Value;

    /// <summary>The key of that dotted name, or null.</summary>
    public static SettingsKey? Find(string key) => ByName.Value.GetValueOrDefault(key);

    /// <summary>Names of a group's direct members, without the group's prefix; the empty name is the whole configuration.</summary>
    public static IReadOnlyList<string> Members(string group)
    {
        var prefix = group.Length == 0 ? "" : group + ".";
        return [.. Keys.Where(key => key.Key.StartsWith(prefix, StringComparison.Ordinal))
            .Select(key => key.Key[prefix.Length..].Split('.')[0])
            .Distinct()];
    }

    /// <summary>The YAML spelling of a C# name: <c>LinGrow</c> is <c>linGrow</c>.</summary>
    internal static string YamlName(string name) => JsonNamingPolicy.CamelCase.ConvertName(name);

    /// <summary>The keys of a record of settings.</summary>
    /// <param name="defaults">A new one, with its defaults.</param>
    /// <exception cref="InvalidOperationException">
    /// A property lacks a description or a range, or a name that can be chosen is another key's.
    /// </exception>
    internal static IEnumerable<SettingsKey> KeysOf(Func<object> defaults) => Walk(defaults(), "", settings => settings, defaults);

    /// <param name="record">The record's default.</param>
    /// <param name="prefix">Its group's name and a dot.</param>
    /// <param name="find">Finds such a record in settings.</param>
    /// <param name="defaults">The settings' default.</param>
    private static IEnumerable<SettingsKey> Walk(object record, string prefix, Func<object, object> find, Func<object> defaults)
    {
        // Inherited properties come after a record's own; within one assembly, tokens follow source order.
        PropertyInfo[] properties = [.. record.GetType().GetProperties(BindingFlags.Public | BindingFlags.Instance)
            .Where(property => property.CanWrite) // others are derived from settings
            .OrderBy(property => property.DeclaringType != record.GetType())
            .ThenBy(property => property.MetadataToken)];
        foreach (var property in properties)
        {
            var name = prefix + YamlName(property.Name);
            if (!property.PropertyType.IsClass || property.PropertyType == typeof(string) || IsChoice(property))
            {
                yield return new SettingsKey(name, property, find, defaults);
                continue;
            }

            foreach (var key in Walk(property.GetValue(record)!, name + ".", settings => property.GetValue(find(settings))!, defaults))
            {
                yield return key;
            }
        }

        foreach (var property in properties.Where(IsChoice))
        {
            foreach (var name in ChoiceOf(property, record).Names)
            {
                if (properties.Any(other => YamlName(other.Name) == name))
                {
                    throw new InvalidOperationException(
                        $"{prefix}{name} is a setting already; {prefix}{YamlName(property.Name)} cannot take that name.");
                }

                foreach (var key in Walk(ChoiceOf(property, record).OptionsOf(name), $"{prefix}{name}.",
                    settings => ChoiceOf(property, find(settings)).OptionsOf(name), defaults))
                {
                    yield return key;
                }
            }
        }
    }

    private static bool IsChoice(PropertyInfo property) => property.PropertyType.IsAssignableTo(typeof(IChoice));

    private static IChoice ChoiceOf(PropertyInfo property, object record) => (IChoice)property.GetValue(record)!;

    private static IEnumerable<string> GroupsOf(string key)
    {
        for (var dot = key.IndexOf('.', StringComparison.Ordinal); dot >= 0; dot = key.IndexOf('.', dot + 1))
        {
            yield return key[..dot];
        }
    }
}

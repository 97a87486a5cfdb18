using System.Reflection;
using System.Text.Json;

namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>
/// Every key of the configuration, found once by walking <see cref="Settings"/>: a record is a group, any other property a key.
/// Loader, writer and listing share it, so that a setting is defined in one place only: its property.
/// </summary>
public static class SettingsSchema
{
    /// <summary>All keys in their fixed order, that of the properties.</summary>
    public static IReadOnlyList<SettingsKey> Keys { get; } = [.. Walk(typeof(Settings), [])];

    /// <summary>Dotted names of all groups (<c>meta</c>, <c>meta.wpn</c>, …), in the order of the keys.</summary>
    public static IReadOnlyList<string> Groups { get; } =
        [.. Keys.SelectMany(key => GroupsOf(key.Key)).Distinct()];

    private static readonly Dictionary<string, SettingsKey> ByName = Keys.ToDictionary(key => key.Key);

    /// <summary>The key of that dotted name, or null.</summary>
    public static SettingsKey? Find(string key) => ByName.GetValueOrDefault(key);

    /// <summary>Names, without the group's own, of what a group holds directly; the empty name is the whole configuration.</summary>
    public static IReadOnlyList<string> Members(string group)
    {
        var prefix = group.Length == 0 ? "" : group + ".";
        return [.. Keys.Where(key => key.Key.StartsWith(prefix, StringComparison.Ordinal))
            .Select(key => key.Key[prefix.Length..].Split('.')[0])
            .Distinct()];
    }

    /// <summary>How a C# name is written in YAML: <c>LinGrow</c> is <c>linGrow</c>.</summary>
    internal static string YamlName(string name) => JsonNamingPolicy.CamelCase.ConvertName(name);

    private static IEnumerable<SettingsKey> Walk(Type record, PropertyInfo[] path)
    {
        // What a record inherits stands behind its own; tokens are in the order of the source, within one assembly.
        var properties = record.GetProperties(BindingFlags.Public | BindingFlags.Instance)
            .Where(property => property.CanWrite) // others follow from settings
            .OrderBy(property => property.DeclaringType != record)
            .ThenBy(property => property.MetadataToken);
        foreach (var property in properties)
        {
            PropertyInfo[] here = [.. path, property];
            if (property.PropertyType.IsClass && property.PropertyType != typeof(string))
            {
                foreach (var key in Walk(property.PropertyType, here))
                {
                    yield return key;
                }
            }
            else
            {
                yield return new SettingsKey(here);
            }
        }
    }

    private static IEnumerable<string> GroupsOf(string key)
    {
        for (var dot = key.IndexOf('.', StringComparison.Ordinal); dot >= 0; dot = key.IndexOf('.', dot + 1))
        {
            yield return key[..dot];
        }
    }
}

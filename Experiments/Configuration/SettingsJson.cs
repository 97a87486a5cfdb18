using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>The configuration in JSON, for editors and other programs.</summary>
internal static class SettingsJson
{
    private static readonly JsonSerializerOptions Readable
        = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>All settings, as a configuration file may state them: JSON is YAML too.</summary>
    public static string Text(Settings settings)
    {
        var all = new JsonObject();
        foreach (SettingsKey key in SettingsSchema.Keys)
        {
            string[] path = key.Key.Split('.');
            JsonObject group = all;
            foreach (string part in path[..^1])
            {
                group = (JsonObject)(group[part] ??= new JsonObject());
            }

            group[path[^1]] = ValueOf(key.Plain(settings));
        }

        return all.ToJsonString(Readable);
    }

    /// <summary>A JSON Schema (2020-12) of configuration files: each key with its type, limits, default and meaning.</summary>
    public static string Schema()
    {
        JsonObject schema = Group("");
        schema.Insert(0, "$schema", "https://json-schema.org/draft/2020-12/schema");
        schema.Insert(1, "title", "imta configuration");
        return schema.ToJsonString(Readable);
    }

    private static JsonObject Group(string name)
    {
        var members = new JsonObject();
        foreach (string member in SettingsSchema.Members(name))
        {
            string whole = name.Length == 0 ? member : $"{name}.{member}";
            members[member] = SettingsSchema.Find(whole) is { } key ? Of(key) : Group(whole);
        }

        return new JsonObject { ["type"] = "object", ["additionalProperties"] = false, ["properties"] = members };
    }

    private static JsonObject Of(SettingsKey key)
    {
        var settings = new Settings();
        IReadOnlyList<string> names = key.Names(settings);
        JsonObject type = names.Count > 0 ? new JsonObject { ["enum"] = new JsonArray([.. names.Select(name => JsonValue.Create(name))]) }
            : key.ValueType == typeof(bool) ? new JsonObject { ["type"] = "boolean" }
            : key.ValueType == typeof(int) ? Number(key, "integer")
            : key.ValueType == typeof(double) ? Number(key, "number")
            : key.ValueType == typeof(string) ? new JsonObject { ["type"] = "string" }
            : new JsonObject { ["type"] = "array", ["items"] = Number(key, "integer") };
        if (key.IsNullable)
        {
            type = new JsonObject { ["anyOf"] = new JsonArray(type, new JsonObject { ["type"] = "null" }) };
        }

        type["default"] = ValueOf(key.Plain(settings));
        type["description"] = $"{key.Meaning} ({key.Range})";
        return type;
    }

    private static JsonObject Number(SettingsKey key, string type)
    {
        var number = new JsonObject { ["type"] = type };
        if (key.Limits is { } limits)
        {
            number[limits.MinimumIsExclusive ? "exclusiveMinimum" : "minimum"] = ValueOf(limits.Minimum);
            if (limits.Maximum is not (int.MaxValue or double.MaxValue))
            {
                number[limits.MaximumIsExclusive ? "exclusiveMaximum" : "maximum"] = ValueOf(limits.Maximum);
            }
        }

        return number;
    }

    private static JsonNode? ValueOf(object? value) => value switch
    {
        null => null,
        IReadOnlyList<int> list => new JsonArray([.. list.Select(item => (JsonNode?)JsonValue.Create(item))]),
        _ => JsonSerializer.SerializeToNode(value),
    };
}

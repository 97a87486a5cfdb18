using System.Text.Json;
using System.Text.Json.Nodes;

namespace Imta.MetaWeight.Allocation;

/// <summary>The keys of a policy file, for its reader; errors are one line and name the key and what is expected there.</summary>
public sealed class PolicySection
{
    private static readonly JsonSerializerOptions Strict = new(JsonSerializerOptions.Strict)
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
    };

    private readonly JsonObject _keys;
    private readonly HashSet<string> _read = [];

    private PolicySection(JsonObject keys) => _keys = keys;

    /// <summary>Reads a file's text.</summary>
    /// <exception cref="FormatException">It is not a JSON object, or defines a key twice.</exception>
    public static PolicySection Parse(string text)
    {
        try
        {
            return JsonNode.Parse(text, documentOptions: new JsonDocumentOptions { AllowDuplicateProperties = false }) is JsonObject keys
                ? new PolicySection(keys)
                : throw new FormatException("it is not a JSON object");
        }
        catch (JsonException e)
        {
            throw new FormatException(e.LineNumber is { } line ? $"invalid JSON on line {line + 1}" : "a key is defined twice", e);
        }
    }

    /// <summary>Whether the file has a key.</summary>
    public bool Has(string key) => _keys.ContainsKey(key);

    /// <summary>The value of a key.</summary>
    /// <typeparam name="T">A number, string, array, or record of these; its members are keys in snake case.</typeparam>
    /// <param name="key">The key.</param>
    /// <param name="expected">What it holds, for the error.</param>
    /// <exception cref="FormatException">It is missing, or holds something else.</exception>
    public T Get<T>(string key, string expected)
    {
        _read.Add(key);
        if (!_keys.TryGetPropertyValue(key, out JsonNode? value))
        {
            throw new FormatException($"the key {key} is missing; expected {expected}");
        }

        try
        {
            bool mayBeNull = Nullable.GetUnderlyingType(typeof(T)) is not null;
            return value.Deserialize<T>(Strict) ?? (mayBeNull ? default! : throw new JsonException());
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new FormatException($"{key}{(e as JsonException)?.Path?.TrimStart('$')} is invalid; expected {expected}", e);
        }
    }

    /// <summary>Rejects keys that have not been read.</summary>
    /// <exception cref="FormatException">There are some.</exception>
    public void End()
    {
        if (_keys.FirstOrDefault(entry => !_read.Contains(entry.Key)) is { Key: { } unknown })
        {
            throw new FormatException($"unknown key {unknown}");
        }
    }
}

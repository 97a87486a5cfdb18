using System.Text;
using System.Text.Json;
using static Imta.MetaWeight.Experiments.Checkpoints.TorchFiles.FormatGuard;

namespace Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

/// <summary>
/// The header of a safetensors file: <c>{"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …}</c> and optionally
/// <c>"__metadata__": {"TEXT": "TEXT"}</c>. Anything outside the format is rejected.
/// </summary>
internal static class SafetensorsHeader
{
    /// <summary>The key reserved for metadata.</summary>
    public const string Metadata = "__metadata__";

    /// <summary>The maximum accepted length in bytes: that of the reference implementation.</summary>
    public const long MaxLength = 100_000_000;

    private const int MaxNameLength = 1024;
    private const int MaxDimensions = 32;
    private const int Nesting = 3;

    /// <summary>The element types, in the order in which the reference implementation writes their tensors.</summary>
    public static readonly (string Name, ScalarType Type, int Size)[] Types =
    [
        ("I64", ScalarType.Int64, 8),
        ("F64", ScalarType.Float64, 8),
        ("F32", ScalarType.Float32, 4),
        ("I32", ScalarType.Int32, 4),
        ("BF16", ScalarType.BFloat16, 2),
        ("F16", ScalarType.Float16, 2),
        ("I16", ScalarType.Int16, 2),
        ("I8", ScalarType.Int8, 1),
        ("U8", ScalarType.Byte, 1),
        ("BOOL", ScalarType.Bool, 1),
    ];

    private static readonly UTF8Encoding Utf8 = new(false, throwOnInvalidBytes: true);

    /// <summary>The properties of an element type; the name is null if the format does not support it.</summary>
    public static (string Name, ScalarType Type, int Size) TypeOf(ScalarType type) => Types.SingleOrDefault(known => known.Type == type);

    /// <summary>Reads a header.</summary>
    /// <param name="json">The header.</param>
    /// <param name="dataLength">The number of bytes after it.</param>
    /// <returns>The tensors in the order of their data, which they cover without gaps.</returns>
    /// <exception cref="InvalidDataException">It is malformed or inconsistent with the data; the message says how.</exception>
    public static IReadOnlyList<SafetensorsEntry> Read(ReadOnlySpan<byte> json, long dataLength)
    {
        Require(json.StartsWith("{"u8), "its header does not start with '{'");
        List<SafetensorsEntry> entries = Parse(json);
        entries.Sort((a, b) => (a.Begin, a.End).CompareTo((b.Begin, b.End)));
        long end = 0;
        foreach (SafetensorsEntry entry in entries)
        {
            Require(entry.Begin == end, $"tensor {Quote(entry.Name)} begins at byte {entry.Begin} of the data, but byte {end} was "
                + "expected: there is a gap or an overlap");
            end = entry.End;
        }

        string more = dataLength < end ? $"; {Incomplete}" : "";
        Require(end == dataLength, $"it has {dataLength} bytes of data, but its tensors end at {end}{more}");
        return entries;
    }

    /// <summary>Writes a header, padded with spaces so that the data starts at a multiple of 8.</summary>
    public static byte[] Write(IEnumerable<SafetensorsEntry> entries)
    {
        var json = new MemoryStream();
        // No HTML escaping: other readers expect the text verbatim.
        var options = new JsonWriterOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
        using (var writer = new Utf8JsonWriter(json, options))
        {
            writer.WriteStartObject();
            foreach (SafetensorsEntry entry in entries)
            {
                writer.WriteStartObject(Utf8.GetBytes(entry.Name));
                writer.WriteString("dtype", entry.TypeName);
                Numbers(writer, "shape", entry.Shape);
                Numbers(writer, "data_offsets", [entry.Begin, entry.End]);
                writer.WriteEndObject();
            }

            writer.WriteEndObject();
        }

        while (json.Length % 8 != 0)
        {
            json.WriteByte((byte)' ');
        }

        return json.ToArray();
    }

    private static void Numbers(Utf8JsonWriter writer, string name, long[] values)
    {
        writer.WriteStartArray(name);
        Array.ForEach(values, writer.WriteNumberValue);
        writer.WriteEndArray();
    }

    private static List<SafetensorsEntry> Parse(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = Nesting });
        HashSet<string> names = [];
        List<SafetensorsEntry> entries = [];
        try
        {
            reader.Read();
            while (Next(ref reader) == JsonTokenType.PropertyName)
            {
                string name = Text(ref reader);
                Require(names.Add(name), $"it contains {Quote(name)} twice");
                if (name == Metadata)
                {
                    SkipMetadata(ref reader);
                }
                else
                {
                    entries.Add(Entry(ref reader, name));
                }
            }

            // Only white space may follow the closing brace.
            reader.Read();
            return entries;
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"its header is not valid JSON: {e.Message}", e);
        }
    }

    private static SafetensorsEntry Entry(ref Utf8JsonReader reader, string name)
    {
        string? type = null;
        long[]? shape = null;
        long[]? offsets = null;
        Expect(ref reader, JsonTokenType.StartObject, name);
        while (Next(ref reader) == JsonTokenType.PropertyName)
        {
            string field = Text(ref reader);
            bool isNew = field switch
            {
                "dtype" => type is null,
                "shape" => shape is null,
                "data_offsets" => offsets is null,
                _ => throw new InvalidDataException($"tensor {Quote(name)} has a field {Quote(field)}, which the format does not have"),
            };
            Require(isNew, $"tensor {Quote(name)} contains {field} twice");
            switch (field)
            {
                case "dtype":
                    Expect(ref reader, JsonTokenType.String, name);
                    type = Text(ref reader);
                    break;
                case "shape":
                    shape = Numbers(ref reader, name);
                    break;
                default:
                    offsets = Numbers(ref reader, name);
                    break;
            }
        }

        return Entry(name, type, shape, offsets);
    }

    private static SafetensorsEntry Entry(string name, string? type, long[]? shape, long[]? offsets)
    {
        if (type is null || shape is null || offsets is not [long begin, long end])
        {
            throw new InvalidDataException($"tensor {Quote(name)} is not described by dtype, shape and two data_offsets");
        }

        var known = Types.SingleOrDefault(known => known.Name == type);
        if (known.Name is null && begin <= end)
        {
            return new SafetensorsEntry(name, type, shape, begin, end);
        }

        // The shape without its zeros must fit 64 bits too: libtorch computes strides from it.
        Int128 volume = known.Size;
        foreach (long size in shape)
        {
            volume *= Math.Max(size, 1);
            Require(volume <= long.MaxValue, $"tensor {Quote(name)} has more elements than fit in memory");
        }

        Int128 bytes = shape.Contains(0) ? 0 : volume;
        return begin <= end && end - begin == bytes
            ? new SafetensorsEntry(name, type, shape, begin, end)
            : throw new InvalidDataException($"tensor {Quote(name)} of shape {ShapeText(shape)} and type {type} needs {bytes} "
                + $"bytes, but spans bytes {begin} to {end}");
    }

    private static void SkipMetadata(ref Utf8JsonReader reader)
    {
        HashSet<string> names = [];
        Expect(ref reader, JsonTokenType.StartObject, Metadata);
        while (Next(ref reader) == JsonTokenType.PropertyName)
        {
            string name = Text(ref reader, int.MaxValue);
            Require(names.Add(name), $"its metadata contains {Quote(name)} twice");
            Expect(ref reader, JsonTokenType.String, Metadata);
            Text(ref reader, int.MaxValue);
        }
    }

    private static long[] Numbers(ref Utf8JsonReader reader, string name)
    {
        List<long> numbers = [];
        Expect(ref reader, JsonTokenType.StartArray, name);
        while (Next(ref reader) != JsonTokenType.EndArray)
        {
            Require(
                reader.TokenType == JsonTokenType.Number && reader.TryGetInt64(out long number) && number >= 0
                    && numbers.Count < MaxDimensions,
                $"tensor {Quote(name)} has a shape or data_offsets that is not a short list of integers from 0 to 2^63 - 1");
            numbers.Add(reader.GetInt64());
        }

        return [.. numbers];
    }

    private static JsonTokenType Next(ref Utf8JsonReader reader)
    {
        Require(reader.Read(), "its header is truncated");
        return reader.TokenType;
    }

    private static void Expect(ref Utf8JsonReader reader, JsonTokenType expected, string name)
        => Require(Next(ref reader) == expected, $"{Quote(name)} has a {reader.TokenType} where a {expected} is expected");

    private static string Text(ref Utf8JsonReader reader, int longest = MaxNameLength)
    {
        string text;
        try
        {
            text = reader.GetString()!;
        }
        catch (InvalidOperationException e)
        {
            throw new InvalidDataException("a string in its header is not valid UTF-8", e);
        }

        Require(text.Length <= longest, $"the name {Quote(text)} has more than {longest} characters");
        return text;
    }
}

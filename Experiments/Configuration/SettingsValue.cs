using System.Globalization;
using System.Numerics;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.RegularExpressions;
using Imta.MetaWeight.Backbones;

namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>Conversion of values from and to YAML: the types a key can have, their names, and how they are parsed and formatted.</summary>
internal static partial class SettingsValue
{
    private static readonly JsonSerializerOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The type's name for users.</summary>
    public static string TypeName(Type type) => type switch
    {
        _ when type == typeof(bool) => "true or false",
        _ when type == typeof(int) => "integer",
        _ when type == typeof(double) => "number",
        _ when type == typeof(string) => "text",
        _ when type.IsEnum || type.IsAssignableTo(typeof(IChoice)) => "choice",
        _ when type == typeof(IReadOnlyList<int>) => "list of integers",
        _ => throw new NotSupportedException($"Settings cannot be of type {type}."),
    };

    /// <summary>Parses a non-null value; false if it is not of that type. Quoted text is text, never a number.</summary>
    /// <param name="value">What was given.</param>
    /// <param name="type">The setting's type.</param>
    /// <param name="current">Its value so far.</param>
    /// <param name="read">The value.</param>
    public static bool TryRead(YamlValue value, Type type, object? current, out object? read)
    {
        read = value switch
        {
            YamlScalar { Quoted: false } scalar when type == typeof(bool) => ReadBool(scalar.Text),
            YamlScalar scalar when type == typeof(int) => ReadInt(scalar),
            YamlScalar { Quoted: false } scalar when type == typeof(double) => ReadDouble(scalar.Text),
            YamlScalar { Text: not "" } scalar when type == typeof(string) => scalar.Text,
            YamlScalar scalar when current is IChoice choice => choice.TryChoose(scalar.Text),
            YamlScalar scalar when type.IsEnum =>
                Enum.GetValues(type).Cast<object>().FirstOrDefault(choice => Format(choice) == scalar.Text),
            YamlList list when type == typeof(IReadOnlyList<int>) => ReadInts(list),
            _ => null,
        };
        return read is not null;
    }

    /// <summary>The end of a message on a text that is not a valid integer: the limit, if the text is an integer beyond it.</summary>
    public static string LimitNote(string text)
        => BigInteger.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) && number > int.MaxValue
            ? $", at most {int.MaxValue}"
            : "";

    /// <summary>Formats a value as YAML that round-trips, here and in other readers.</summary>
    public static string Format(object? value) => value switch
    {
        null => "null",
        bool flag => flag ? "true" : "false",
        int number => number.ToString(CultureInfo.InvariantCulture),
        double number => FormatDouble(number),
        string text => PlainText().IsMatch(text) && !WordWithMeaning().IsMatch(text) ? text : JsonSerializer.Serialize(text, Readable),
        IChoice choice => choice.Name,
        Enum choice => SettingsSchema.YamlName(choice.ToString()),
        IReadOnlyList<int> list => IntList.From(list).ToString(),
        _ => throw new NotSupportedException($"Settings cannot be of type {value.GetType()}."),
    };

    private static bool? ReadBool(string text) => text switch
    {
        "true" or "True" or "TRUE" => true,
        "false" or "False" or "FALSE" => false,
        _ => null,
    };

    private static int? ReadInt(YamlScalar scalar) =>
        !scalar.Quoted && int.TryParse(scalar.Text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number)
            ? number : null;

    private static double? ReadDouble(string text)
    {
        const NumberStyles Style = NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent;
        return double.TryParse(text, Style, CultureInfo.InvariantCulture, out var number) && double.IsFinite(number) ? number : null;
    }

    private static IntList? ReadInts(YamlList list)
    {
        var items = list.Items.Select(ReadInt).ToArray();
        return items.Contains(null) ? null : IntList.From([.. items.Cast<int>()]);
    }

    // YAML 1.1 readers (PyYAML) parse 1E-05 as text: they need a decimal point before the exponent.
    private static string FormatDouble(double number)
    {
        var text = number.ToString("R", CultureInfo.InvariantCulture);
        return text.Contains('E', StringComparison.Ordinal) && !text.Contains('.', StringComparison.Ordinal)
            ? text.Replace("E", ".0E", StringComparison.Ordinal)
            : text;
    }

    [GeneratedRegex(@"\A[A-Za-z/][A-Za-z0-9/._-]*\z")]
    private static partial Regex PlainText();

    [GeneratedRegex(@"\A(null|true|false|yes|no|on|off|y|n)\z", RegexOptions.IgnoreCase)]
    private static partial Regex WordWithMeaning();
}

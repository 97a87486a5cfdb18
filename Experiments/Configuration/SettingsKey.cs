using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Reflection;

namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>One key of the configuration, defined by its property and its attributes.</summary>
internal sealed class SettingsKey
{
    private static readonly NullabilityInfoContext Nullability = new();
    private readonly PropertyInfo _property;
    private readonly Func<object, object> _owner;
    private readonly ValidationAttribute[] _limits;
    private readonly Type _type;

    /// <param name="key">Its dotted name.</param>
    /// <param name="property">Its property.</param>
    /// <param name="owner">Finds the record with that property in settings.</param>
    /// <param name="defaults">New settings with their defaults.</param>
    internal SettingsKey(string key, PropertyInfo property, Func<object, object> owner, Func<object> defaults)
    {
        var bare = Nullable.GetUnderlyingType(property.PropertyType);
        (Key, _property, _owner) = (key, property, owner);
        _type = bare ?? property.PropertyType;
        _limits = [.. property.GetCustomAttributes<ValidationAttribute>()];
        IsNullable = bare is not null || Nullability.Create(property).ReadState == NullabilityState.Nullable;
        Type = SettingsValue.TypeName(_type);
        var settings = defaults();
        Default = Format(settings);
        Range = DescribeRange(Value(settings));
        Meaning = property.GetCustomAttribute<DescriptionAttribute>()?.Description
            ?? throw new InvalidOperationException($"{Key} has no description.");
    }

    /// <summary>Dotted name: <c>meta.wpn.hidden</c>.</summary>
    public string Key { get; }

    /// <summary>The type of its value, in words: <c>number</c>, <c>integer</c>, <c>choice</c>, …</summary>
    public string Type { get; }

    /// <summary>The default as YAML.</summary>
    public string Default { get; }

    /// <summary>The valid values: <c>&gt; 0</c>, <c>[0, 1)</c>, the choices.</summary>
    public string Range { get; }

    /// <summary>One line: what it does, with its unit.</summary>
    public string Meaning { get; }

    /// <summary>Whether it may be <c>null</c>.</summary>
    public bool IsNullable { get; }

    /// <summary>The C# type of its value, without <c>null</c>.</summary>
    internal Type ValueType => _type;

    /// <summary>The limits of a number, or of a list's numbers; null: it has none.</summary>
    internal RangeAttribute? Limits => _limits.OfType<RangeAttribute>().FirstOrDefault();

    /// <summary>Its value in the given settings: null, a number, text, true or false, or a list; for a choice, the name.</summary>
    internal object? Plain(object settings) => Value(settings) switch
    {
        IChoice choice => choice.Name,
        Enum choice => SettingsSchema.YamlName(choice.ToString()),
        var value => value,
    };

    /// <summary>The names that it can take; empty: it is not a choice.</summary>
    internal IReadOnlyList<string> Names(object settings) => Value(settings) switch
    {
        IChoice choice => [.. choice.Names],
        _ when _type.IsEnum => [.. Enum.GetNames(_type).Select(SettingsSchema.YamlName)],
        _ when _limits.OfType<AllowedValuesAttribute>().FirstOrDefault() is { } allowed
            => [.. allowed.Values.Select(name => (string)name!)],
        _ => [],
    };

    /// <summary>The expected values, for messages: <c>a number &gt; 0</c>.</summary>
    internal string Expected
    {
        get
        {
            var expected = _type switch
            {
                _ when _type == typeof(bool) => "true or false",
                _ when _type == typeof(int) => $"an integer {Clause(Range)}",
                _ when _type == typeof(double) => $"a number {Clause(Range)}",
                _ when _type == typeof(string) && !_limits.OfType<AllowedValuesAttribute>().Any() => Range,
                _ when Type == "choice" || _type == typeof(string) => $"one of {Range}",
                _ => $"a list of integers {Clause(Range)}, such as {Default}",
            };
            return IsNullable ? expected + ", or null" : expected;
        }
    }

    /// <summary>Its value in the given settings, as YAML.</summary>
    public string Format(object settings) => SettingsValue.Format(Value(settings));

    /// <summary>Parses a value and sets it in settings that are not shared yet; false if the value is not valid for the key.</summary>
    internal bool TrySet(object settings, YamlValue value)
    {
        object? read = null;
        var valid = value.IsNull
            ? IsNullable
            : SettingsValue.TryRead(value, _type, Value(settings), out read) && _limits.All(limit => Allows(limit, read!));
        if (valid)
        {
            _property.SetValue(_owner(settings), read);
        }

        return valid;
    }

    // A constraint on a list of numbers applies to each element, except a length constraint.
    private static bool Allows(ValidationAttribute limit, object value) =>
        limit is RangeAttribute && value is IReadOnlyList<int> list ? list.All(item => limit.IsValid(item)) : limit.IsValid(value);

    private static string Clause(string range) => range[0] is '[' or '(' ? "in " + range : range;

    private object? Value(object settings) => _property.GetValue(_owner(settings));

    private string DescribeRange(object? value)
    {
        if (_type == typeof(bool))
        {
            return "true, false";
        }

        if (value is IChoice choice)
        {
            return string.Join(", ", choice.Names);
        }

        if (_type.IsEnum)
        {
            return string.Join(", ", Enum.GetNames(_type).Select(SettingsSchema.YamlName));
        }

        return _limits.Select(limit => limit switch
        {
            RangeAttribute range => Interval(range),
            AllowedValuesAttribute allowed => string.Join(", ", allowed.Values),
            RegularExpressionAttribute { ErrorMessage: { } words } => words,
            _ => null,
        }).FirstOrDefault(words => words is not null) ?? throw new InvalidOperationException($"{Key} has no range.");
    }

    private static string Interval(RangeAttribute range)
    {
        var low = Convert.ToString(range.Minimum, CultureInfo.InvariantCulture);
        var high = Convert.ToString(range.Maximum, CultureInfo.InvariantCulture);
        return range.Maximum is int.MaxValue or double.MaxValue
            ? (range.MinimumIsExclusive ? "> " : ">= ") + low
            : (range.MinimumIsExclusive ? "(" : "[") + low + ", " + high + (range.MaximumIsExclusive ? ")" : "]");
    }
}

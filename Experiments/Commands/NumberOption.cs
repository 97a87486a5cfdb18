using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Numerics;
using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>
/// Numeric options in the invariant culture: the parser's own conversion uses the current culture, which may read 0.1 as 1.
/// </summary>
internal static class NumberOption
{
    /// <summary>An integer option; null if it is not given.</summary>
    public static Option<int?> Integer(string name, string helpName, string description)
        => new(name) { HelpName = helpName, Description = description, CustomParser = Integer };

    /// <summary>An integer option with a default.</summary>
    public static Option<int> Integer(string name, string helpName, string description, int defaultValue)
        => new(name)
        {
            HelpName = helpName,
            Description = description,
            DefaultValueFactory = _ => defaultValue,
            CustomParser = result => Integer(result) ?? defaultValue,
        };

    /// <summary>A floating-point option; null if it is not given.</summary>
    public static Option<double?> Double(string name, string helpName, string description)
        => new(name)
        {
            HelpName = helpName,
            Description = description,
            CustomParser = result => Parse<double>(result, NumberStyles.Float, "a number such as 0.5"),
        };

    private static int? Integer(ArgumentResult result) => Parse<int>(result, NumberStyles.AllowLeadingSign, "an integer");

    private static T? Parse<T>(ArgumentResult result, NumberStyles styles, string expected)
        where T : struct, INumber<T>
    {
        string text = result.Tokens[0].Value;
        if (T.TryParse(text, styles, CultureInfo.InvariantCulture, out T value))
        {
            return value;
        }

        result.AddError($"{(result.Parent as OptionResult)?.Option.Name} is {Terminal.Sanitize(text)}; it must be "
            + $"{expected}{SettingsValue.LimitNote(text)}.");
        return null;
    }
}

using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Numerics;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>Numeric options in the invariant culture: the parser's own conversion uses the current culture, which may read 0.1 as 1.</summary>
internal static class NumberOption
{
    /// <summary>An integer option; null if it is not given.</summary>
    public static Option<int?> Whole(string name, string place, string description)
        => new(name) { HelpName = place, Description = description, CustomParser = Whole };

    /// <summary>An integer option with a default.</summary>
    public static Option<int> Whole(string name, string place, string description, int otherwise)
        => new(name) { HelpName = place, Description = description, DefaultValueFactory = _ => otherwise, CustomParser = result => Whole(result) ?? otherwise };

    /// <summary>A floating-point option; null if it is not given.</summary>
    public static Option<double?> Decimal(string name, string place, string description)
        => new(name) { HelpName = place, Description = description, CustomParser = result => Parse<double>(result, NumberStyles.Float, "a number such as 0.5") };

    private static int? Whole(ArgumentResult result) => Parse<int>(result, NumberStyles.AllowLeadingSign, "an integer");

    private static T? Parse<T>(ArgumentResult result, NumberStyles styles, string wanted)
        where T : struct, INumber<T>
    {
        string text = result.Tokens[0].Value;
        if (T.TryParse(text, styles, CultureInfo.InvariantCulture, out T value))
        {
            return value;
        }

        result.AddError($"{(result.Parent as OptionResult)?.Option.Name} is {Terminal.OneLine(text)}; it must be {wanted}.");
        return null;
    }
}

using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Numerics;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>Options that take a number, written as everywhere here: the parser's own conversion goes by the current culture, which may read 0.1 as 1.</summary>
internal static class NumberOption
{
    /// <summary>A whole number; null where the option is not given.</summary>
    public static Option<int?> Whole(string name, string place, string description)
        => new(name) { HelpName = place, Description = description, CustomParser = Whole };

    /// <summary>A whole number.</summary>
    public static Option<int> Whole(string name, string place, string description, int otherwise)
        => new(name) { HelpName = place, Description = description, DefaultValueFactory = _ => otherwise, CustomParser = result => Whole(result) ?? otherwise };

    /// <summary>A number; null where the option is not given.</summary>
    public static Option<double?> Decimal(string name, string place, string description)
        => new(name) { HelpName = place, Description = description, CustomParser = result => Parse<double>(result, NumberStyles.Float, "a number such as 0.5") };

    private static int? Whole(ArgumentResult result) => Parse<int>(result, NumberStyles.AllowLeadingSign, "a whole number");

    private static T? Parse<T>(ArgumentResult result, NumberStyles styles, string wanted)
        where T : struct, INumber<T>
    {
        string text = result.Tokens[0].Value;
        if (T.TryParse(text, styles, CultureInfo.InvariantCulture, out T value))
        {
            return value;
        }

        result.AddError($"{(result.Parent as OptionResult)?.Option.Name} is {Terminal.OneLine(text)}; it takes {wanted}.");
        return null;
    }
}

using System.CommandLine;
using Imta.MetaWeight.Experiments.Commands;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary>Numbers of the command line, under a culture with decimal commas too.</summary>
public sealed class NumberOptionTests
{
    private static readonly Option<int?> Whole = NumberOption.Integer("--whole", "N", "");
    private static readonly Option<int> Seven = NumberOption.Integer("--seven", "N", "", 7);
    private static readonly Option<double?> Decimal = NumberOption.Double("--decimal", "X", "");

    public static TheoryData<string, double> Decimals
        => new() { { "0.5", 0.5 }, { "-1e-3", -0.001 }, { "2", 2 }, { ".25", 0.25 }, { "1.000", 1 } };

    public static TheoryData<string, string, string> Refused => new()
    {
        { "--decimal", "0,5", "a number such as 0.5" },
        { "--decimal", "1,000", "a number such as 0.5" },
        { "--decimal", "half", "a number such as 0.5" },
        { "--whole", "1.000", "an integer" },
        { "--whole", "1.5", "an integer" },
        { "--whole", "99999999999", "an integer, at most 2147483647" },
        { "--whole", "x\ny", "an integer" },
        { "--seven", "1e3", "an integer" },
    };

    [Theory]
    [MemberData(nameof(Decimals))]
    public void Numbers_have_a_point_whatever_the_culture(string text, double value)
    {
        using var culture = new CommaCulture();

        Parse("--decimal", text).GetValue(Decimal).Should().Be(value);
    }

    [Theory]
    [InlineData("3", 3)]
    [InlineData("-3", -3)]
    [InlineData("+2147483647", int.MaxValue)]
    public void Whole_numbers_are_read(string text, int value)
    {
        ParseResult arguments = Parse("--whole", text, "--seven", text);

        (arguments.GetValue(Whole), arguments.GetValue(Seven)).Should().Be((value, value));
    }

    [Fact]
    public void What_is_not_given_is_null_or_the_usual_number()
    {
        ParseResult arguments = Parse();

        arguments.Errors.Should().BeEmpty();
        (arguments.GetValue(Whole), arguments.GetValue(Seven), arguments.GetValue(Decimal)).Should().Be((null, 7, null));
    }

    [Theory]
    [MemberData(nameof(Refused))]
    public void What_is_no_number_is_refused_in_one_line(string option, string text, string expected)
    {
        using var culture = new CommaCulture();

        Parse(option, text).Errors.Should().ContainSingle().Which.Message.Should()
            .Be($"{option} is {text.ReplaceLineEndings("\\u000a")}; it must be {expected}.");
    }

    [Theory]
    [InlineData("--whole")]
    [InlineData("--whole", "1", "--whole", "2")]
    public void Exactly_one_number_is_taken(params string[] arguments) => Parse(arguments).Errors.Should().NotBeEmpty();

    private static ParseResult Parse(params string[] arguments) => new RootCommand { Whole, Seven, Decimal }.Parse(arguments);
}

using System.Text.RegularExpressions;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Reports;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Tests.Docs;

/// <summary><c>docs/methods.md</c> names code, tests and settings that exist.</summary>
public sealed partial class MethodsPageTests
{
    private readonly MarkdownPage _page = MarkdownPage.Read("methods.md");

    [Fact]
    public void Every_member_test_and_setting_that_it_names_exists()
    {
        string[] words = [.. _page.Sections.SelectMany(section => section.Words)];

        words.Count(DocumentedNames.InProduct).Should().BeGreaterThan(50);
        words.Count(DocumentedNames.InTests).Should().BeGreaterThan(50);
        DocumentedNames.Missing(words).Should().BeEmpty();
    }

    [Fact]
    public void Every_equation_has_its_code_and_its_test()
    {
        var rows = _page.Sections.SelectMany(section => section.Rows).Where(row => row.ContainsKey("equation")).ToArray();

        rows.Length.Should().BeGreaterThan(30);
        rows.Where(row => !Holds(row["code"], DocumentedNames.InProduct)).Select(row => row["equation"]).Should().BeEmpty();
        rows.Where(row => !Holds(row["tests"], DocumentedNames.InTests)).Select(row => row["equation"]).Should().BeEmpty();
    }

    [Fact]
    public void Every_setting_of_a_method_is_on_it()
    {
        string[] named = [.. _page.Sections.SelectMany(section => section.Words).Select(word => word.Split('=')[0])];

        SettingsSchema.Keys.Select(key => key.Key)
            .Where(key => key.Split('.')[0] is "model" or "modifiers" or "loss" or "meta" or "train")
            .Should().BeSubsetOf(named);
    }

    [Fact]
    public void Every_deviation_says_how_it_is_undone_or_why_it_cannot_be()
    {
        string text = _page.Sections.Single(section => section.Heading.Contains("Deviations", StringComparison.Ordinal)).Text;
        Match[] items = Item().Matches(text).ToArray();

        items.Select(item => item.Groups["number"].Value).Should().Equal(Enumerable.Range(1, items.Length).Select(number => $"{number}"));
        items.Length.Should().BeGreaterThan(10);
        items.Select(item => string.Join(' ', item.Value.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)))
            .Where(item => !Remedy().IsMatch(item))
            .Should().BeEmpty();
    }

    [Fact]
    public void First_values_are_spread_as_it_says()
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(1);
        var he = new LayerFactory(Initialisation.He, random, float64, CPU);
        var published = he with { Initialisation = Initialisation.Published };

        double variance = he.ConvolutionWeight(output: 64, input: 32, kernel: 3).detach().pow(Held(2)).mean().item<double>();
        variance.Should().BeApproximately(2.0 / (3 * 3 * 64), 0.05 * variance, "18,432 squares have a mean that is sure to about 1 %");
        Largest(he.Bias(64, fanIn: 32)).Should().Be(0);
        double bound = 1 / Math.Sqrt(32 * 3 * 3);
        Largest(published.ConvolutionWeight(output: 64, input: 32, kernel: 3)).Should()
            .BeInRange(0.99 * bound, bound, "PyTorch's default is uniform");
    }

    /// <summary>Whether a cell names something, and nothing but what is there.</summary>
    private static bool Holds(string cell, Func<string, bool> isThere)
        => PageSection.WordsOf(cell) is { Count: > 0 } words && words.All(isThere);

    private static double Largest(Parameter parameter) => parameter.detach().abs().max().item<double>();

    [GeneratedRegex(@"^(?<number>[0-9]+)\. .*\n(   .*\n)*", RegexOptions.Multiline)]
    private static partial Regex Item();

    [GeneratedRegex("Undone by `[a-z][A-Za-z0-9.]+=[A-Za-z0-9.]+`|No setting: [^.]+")]
    private static partial Regex Remedy();
}

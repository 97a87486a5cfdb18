using System.Text.RegularExpressions;
using Imta.MetaWeight.Tests.Docs;

namespace Imta.MetaWeight.Tests.Architecture;

/// <summary>What holds for every file of the product, and for the first page about it.</summary>
public sealed partial class SourcesTests
{
    private const int MaxLines = 250, MaxReadmeWords = 900;

    [Fact]
    public void No_file_is_longer_than_one_reads_at_a_sitting()
        => NamespacesTests.Sources().Where(source => source.Value.TrimEnd('\n').Split('\n').Length > MaxLines).Select(source => source.Key)
            .Should().BeEmpty($"a file has at most {MaxLines} lines");

    [Fact]
    public void The_first_page_stays_short()
        => File.ReadAllText(Path.Combine(MarkdownPage.Repository(), "README.md"))
            .Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Length.Should().BeLessThanOrEqualTo(MaxReadmeWords);

    /// <summary>State has types, and what a file may contain is checked rather than tried.</summary>
    [Fact]
    public void No_untyped_collection_is_named_and_no_failed_cast_is_caught()
    {
        IEnumerable<string> lines =
            from source in NamespacesTests.Sources()
            from line in Comment().Replace(source.Value, "").Split('\n')
            where Untyped().IsMatch(line)
            select $"{source.Key}: {line.Trim()}";

        lines.Should().BeEmpty();
        new[] { "Hashtable a;", "new ArrayList()", "catch (InvalidCastException)", "e is IOException or NullReferenceException" }
            .Should().OnlyContain(line => Untyped().IsMatch(line));
        Untyped().IsMatch("OrderedDictionary<string, Tensor> a").Should().BeFalse("it has types");
    }

    [GeneratedRegex(@"\b(Hashtable|ArrayList|OrderedDictionary(?!<)|NullReferenceException|InvalidCastException)\b")]
    private static partial Regex Untyped();

    [GeneratedRegex("//.*$", RegexOptions.Multiline)]
    private static partial Regex Comment();
}

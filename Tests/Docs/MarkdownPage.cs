using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Backbones.Layers;
using Imta.MetaWeight.Experiments.Reports;

namespace Imta.MetaWeight.Tests.Docs;

/// <summary>
/// A page of <c>docs/</c>, as far as tests read it: sections with their tables and words in backticks, and fenced blocks.
/// </summary>
internal sealed partial class MarkdownPage
{
    private MarkdownPage(string text)
    {
        Blocks =
        [
            .. Fence().Matches(text).Select(block => new CodeBlock(Group(block, "language"), Group(block, "file"), Group(block, "text"))),
        ];
        Sections =
        [
            .. Heading().Split(Fence().Replace(text, "")).Skip(1).Chunk(2).Select(part => new PageSection(part[0].Trim(), part[1])),
        ];

        static string Group(Match block, string name) => block.Groups[name].Value;
    }

    public IReadOnlyList<PageSection> Sections { get; }

    public IReadOnlyList<CodeBlock> Blocks { get; }

    /// <summary>Words in backticks, of all sections.</summary>
    public IEnumerable<string> Words => Sections.SelectMany(section => section.Words);

    public static MarkdownPage Read(string name)
        => new(File.ReadAllText(Path.Combine(Repository(), "docs", name)).ReplaceLineEndings("\n"));

    /// <summary>The checkout above the tests that run, or above their source; the test is skipped where there is none.</summary>
    public static string Repository([CallerFilePath] string source = "")
    {
        foreach (string start in (string[])[AppContext.BaseDirectory, source])
        {
            for (string? folder = Path.GetDirectoryName(start); folder is not null; folder = Path.GetDirectoryName(folder))
            {
                if (File.Exists(Path.Combine(folder, "Imta.MetaWeight.sln")))
                {
                    return folder;
                }
            }
        }

        throw new SkipException("the checkout that these tests were built from is gone");
    }

    [GeneratedRegex(@"^#+ +(.*)$", RegexOptions.Multiline)]
    private static partial Regex Heading();

    // A file's name may stand before its text: `folder/File.cs`:
    [
        GeneratedRegex(
            @"^(?:`(?<file>[^`\n]+)`:\n\n)?```(?<language>\w+)\n(?<text>.*?)^```$", RegexOptions.Multiline | RegexOptions.Singleline)
    ]
    private static partial Regex Fence();
}

/// <summary>A fenced block.</summary>
/// <param name="Language">Of the fence.</param>
/// <param name="File">The file that it is, empty where the page names none.</param>
/// <param name="Text">Its lines.</param>
internal sealed record CodeBlock(string Language, string File, string Text);

/// <summary>What stands between two headings.</summary>
/// <param name="Heading">The heading above.</param>
/// <param name="Text">Without fenced blocks.</param>
internal sealed partial record PageSection(string Heading, string Text)
{
    /// <summary>Words in backticks.</summary>
    public IReadOnlyList<string> Words => WordsOf(Text);

    /// <summary>The rows of each table; a cell by the name of its column.</summary>
    public IEnumerable<IReadOnlyList<Dictionary<string, string>>> Tables
    {
        get
        {
            foreach (string[][] table in Table().Matches(Text).Select(match => match.Value.TrimEnd().Split('\n').Select(Cells).ToArray()))
            {
                table.Should().OnlyContain(row => row.Length == table[0].Length, "each cell stands in a column");
                yield return [.. table.Skip(2).Select(row => table[0].Zip(row).ToDictionary(cell => cell.First, cell => cell.Second))];
            }
        }
    }

    /// <summary>The rows of all tables.</summary>
    public IEnumerable<Dictionary<string, string>> Rows => Tables.SelectMany(table => table);

    /// <summary>The text beside the tables.</summary>
    public string Prose => Table().Replace(Text, "");

    public static IReadOnlyList<string> WordsOf(string text) => [.. Word().Matches(text).Select(match => match.Groups[1].Value)];

    private static string[] Cells(string line) => [.. line.Trim().Trim('|').Split('|').Select(cell => cell.Trim())];

    [GeneratedRegex("`([^`\n]+)`")]
    private static partial Regex Word();

    [GeneratedRegex(@"^(\|.*\n)+", RegexOptions.Multiline)]
    private static partial Regex Table();
}

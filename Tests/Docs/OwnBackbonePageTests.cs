using System.Text.RegularExpressions;
using Imta.MetaWeight.Tests.Architecture;

namespace Imta.MetaWeight.Tests.Docs;

/// <summary>Follows <c>docs/own-backbone.md</c> as a user would.</summary>
public sealed partial class OwnBackbonePageTests : IDisposable
{
    private const string Network = "SmallNetwork.cs";

    private readonly FollowedPage _page = new("own-backbone.md");

    [Fact]
    public void Its_maps_are_adjoint_and_give_the_unrolled_meta_gradient()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "the page's commands are run by /bin/sh");
        _page.Commands.Should().HaveCount(2, "a project and a run");
        _page.Run(_page.Commands[0]);

        _page.Run(_page.Commands[1]).Should().Be(_page.Output);
        string program = Directory.GetFiles(_page.In("my-backbone", "bin"), "my-backbone.dll", SearchOption.AllDirectories).Single();
        UnheldNumbers.In(program).Should().BeEmpty();
    }

    [Fact]
    public void Its_network_is_that_of_the_library_page_with_the_changes_that_it_shows()
    {
        string network = MarkdownPage.Read("library.md").Blocks.Single(
            block => block.File.EndsWith(Network, StringComparison.Ordinal)).Text;
        foreach (string[] hunk in Hunk().Split(Only("diff")).Skip(1).Select(hunk => hunk.TrimEnd('\n').Split('\n')))
        {
            string before = Side(hunk, '-');
            network.Split(before).Should().HaveCount(2, $"the network has once:\n{before}");
            network = network.Replace(before, Side(hunk, '+'), StringComparison.Ordinal);
        }

        Source(Network).Should().Be(network);

        static string Side(string[] hunk, char sign)
            => string.Concat(hunk.Where(line => line[0] == ' ' || line[0] == sign).Select(line => $"{line[1..]}\n"));
    }

    [Fact]
    public void Its_map_is_one_of_the_program() => Source("Maps.cs").Should().Contain(Only("csharp"));

    [Fact]
    public void Every_member_that_it_names_exists() => DocumentedNames.Missing(_page.Page.Words).Should().BeEmpty();

    public void Dispose() => _page.Dispose();

    /// <summary>The page's one block in a language.</summary>
    private string Only(string language) => _page.Page.Blocks.Single(block => block.Language == language).Text;

    /// <summary>A file of the program that the page's commands copy.</summary>
    private static string Source(string file)
        => File.ReadAllText(Path.Combine(MarkdownPage.Repository(), "docs", "own-backbone", file)).ReplaceLineEndings("\n");

    [GeneratedRegex("^@@.*\n", RegexOptions.Multiline)]
    private static partial Regex Hunk();
}

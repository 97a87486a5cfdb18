using System.Text.RegularExpressions;

namespace Imta.MetaWeight.Tests.Docs;

/// <summary>Follows <c>docs/own-backbone.md</c> as a user would.</summary>
public sealed partial class OwnBackbonePageTests : IDisposable
{
    private const string Network = "SmallNetwork.cs";

    private readonly FollowedPage _page = new("own-backbone.md");

    [SkippableFact]
    public void Its_maps_are_adjoint_and_give_the_unrolled_meta_gradient()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "the page's commands are run by /bin/sh");
        _page.Commands.Should().HaveCount(2, "a project and a run");
        _page.Run(_page.Commands[0]);
        _page.WriteFiles();

        _page.Run(_page.Commands[1]).Should().Be(_page.Output);
    }

    [SkippableFact]
    public void Its_network_is_that_of_the_library_page_and_the_new_lines()
    {
        using var library = new FollowedPage("library.md");
        string before = Only(library.Page), now = Only(_page.Page);

        NewLine().Matches(now).Should().HaveCount(4);
        string[] kept = [.. NewLine().Replace(now, "").Split('\n').Select(line => line.Trim())];
        string[] gone = [.. before.Split('\n').Select(line => line.Trim()).Where(line => line.Length > 0 && !kept.Contains(line))];
        gone.Should().HaveCount(4, "convolution, norm, ReLU and logits are named to be told to the tape");

        static string Only(MarkdownPage page) => page.Blocks.Single(block => block.File.EndsWith(Network, StringComparison.Ordinal)).Text;
    }

    [SkippableFact]
    public void Every_member_that_it_names_exists() => DocumentedNames.Missing(_page.Page.Words).Should().BeEmpty();

    public void Dispose() => _page.Dispose();

    [GeneratedRegex("^.*// new\n", RegexOptions.Multiline)]
    private static partial Regex NewLine();
}

using Imta.MetaWeight.Backbones.Kernels;

namespace Imta.MetaWeight.Tests.Docs;

/// <summary><c>docs/imagenet.md</c> names settings and recipes that exist.</summary>
public sealed class ImageNetPageTests
{
    private readonly MarkdownPage _page = MarkdownPage.Read("imagenet.md");

    [Fact]
    public void Every_setting_that_it_names_exists_and_takes_the_value()
    {
        _page.Words.Count(DocumentedNames.IsSetting).Should().BeGreaterThan(10);
        DocumentedNames.Missing(_page.Words).Should().BeEmpty();
    }

    [Fact]
    public void It_lists_every_recipe()
    {
        string[] named =
        [
            .. _page.Sections.SelectMany(section => section.Rows).Where(row => row.ContainsKey("file"))
                .SelectMany(row => Names(row["file"])),
        ];

        named.Should()
            .BeEquivalentTo(
                Directory.GetFiles(Path.Combine(MarkdownPage.Repository(), "configs", "imagenet"))
                    .Select(Path.GetFileNameWithoutExtension));
    }

    /// <summary>The first name in full, and of each other its end.</summary>
    private static IEnumerable<string> Names(string cell)
    {
        string[] words = [.. cell.Split(", ").Select(word => word.Trim('`').Replace(".yaml", "", StringComparison.Ordinal))];
        string first = words[0], kind = string.Join('-', first.Split('-')[..2]);
        return words.Select(word => word == first ? word : kind + word);
    }
}

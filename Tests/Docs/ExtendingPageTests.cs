namespace Imta.MetaWeight.Tests.Docs;

/// <summary><c>docs/extending.md</c> starts from the program of <c>Tests/ExtensionHost</c>, which <c>ExtensionsTests</c> runs.</summary>
public sealed class ExtendingPageTests : IDisposable
{
    private const string Program = "Program.cs";

    private readonly FollowedPage _page = new("extending.md");

    [Fact]
    public void It_shows_the_program_that_is_tested_and_links_its_other_files()
    {
        string folder = Path.Combine(MarkdownPage.Repository(), "Tests", "ExtensionHost");
        string[] others = [.. Directory.GetFiles(folder, "*.cs").Select(file => Path.GetFileName(file)).Where(file => file != Program)];

        CodeBlock shown = _page.Page.Blocks.Single(block => block.Language == "csharp");
        shown.File.Should().Be($"my-imta/{Program}");
        shown.Text.Should().Be(File.ReadAllText(Path.Combine(folder, Program)).ReplaceLineEndings("\n"));
        _page.Page.Sections.SelectMany(section => section.Rows).Select(row => row["example"]).Should()
            .BeEquivalentTo(others.Select(file => $"[{Path.GetFileNameWithoutExtension(file)}](../Tests/ExtensionHost/{file})"));
    }

    [Fact]
    public void A_project_outside_the_clone_trains_with_them()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "the page's commands are run by /bin/sh");
        _page.Commands.Should().HaveCount(2, "a project and a run");
        _page.AddPackages();
        _page.Run(_page.Commands[0]);

        string small = " --set data.trainLimit=40 --set data.testLimit=20 --set train.epochs=1 --set train.batch=8 --out run\n";
        _page.Run(_page.Commands[1].TrimEnd() + small).Should().Contain("ToyNet with 3 exits").And.Contain("a learned weight per exit");
        File.ReadLines(_page.In("run", "epochs.csv")).First().Should().EndWith(",margin_mean");
    }

    [Fact]
    public void Every_member_that_it_names_exists() => DocumentedNames.Missing(_page.Page.Words).Should().BeEmpty();

    public void Dispose() => _page.Dispose();
}

namespace Imta.MetaWeight.Tests.Docs;

/// <summary><c>docs/extending.md</c> shows the program of <c>Tests/ExtensionHost</c>, which <c>ExtensionsTests</c> runs.</summary>
public sealed class ExtendingPageTests : IDisposable
{
    private readonly FollowedPage _page = new("extending.md");

    [SkippableFact]
    public void Its_files_are_those_of_the_program_that_is_tested()
    {
        string folder = Path.Combine(MarkdownPage.Repository(), "Tests", "ExtensionHost");
        Dictionary<string, string> files = Directory.GetFiles(folder, "*.cs")
            .ToDictionary(file => $"my-imta/{Path.GetFileName(file)}", file => File.ReadAllText(file).ReplaceLineEndings("\n"));

        _page.Page.Blocks.Where(block => block.Language == "csharp").ToDictionary(block => block.File, block => block.Text)
            .Should().BeEquivalentTo(files);
    }

    [SkippableFact]
    public void A_project_outside_the_clone_trains_with_them()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "the page's commands are run by /bin/sh");
        _page.Commands.Should().HaveCount(2, "a project and a run");
        _page.Run(_page.Commands[0]);
        _page.WriteFiles();

        string small = " --set data.trainLimit=40 --set data.testLimit=20 --set train.epochs=1 --set train.batch=8 --out run\n";
        _page.Run(_page.Commands[1].TrimEnd() + small).Should().Contain("ToyNet with 3 exits").And.Contain("a learned weight per exit");
        File.ReadLines(_page.In("run", "epochs.csv")).First().Should().EndWith(",margin_mean");
    }

    [SkippableFact]
    public void Every_member_that_it_names_exists() => DocumentedNames.Missing(_page.Page.Words).Should().BeEmpty();

    public void Dispose() => _page.Dispose();
}

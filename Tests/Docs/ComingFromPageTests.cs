using Imta.MetaWeight.Tests.Experiments;

namespace Imta.MetaWeight.Tests.Docs;

/// <summary><c>docs/coming-from-pytorch.md</c>: what it says is here is.</summary>
public sealed class ComingFromPageTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Every_setting_and_type_exists()
    {
        string[] words = [.. Ours()];
        words.Should().Contain(["train.initialise", "EarlyExitClassifier"]);
        DocumentedNames.Missing(words).Should().BeEmpty();
        words.Where(word => char.IsUpper(word[0]) && word.Any(char.IsLower)).Should().OnlyContain(name => DocumentedNames.IsType(name));
    }

    [Fact]
    public void Every_command_and_option_exists()
    {
        string[][] commands = [.. Ours().Where(word => word.StartsWith("imta ", StringComparison.Ordinal)).Select(word => word.Split(' '))];
        commands.Should().HaveCountGreaterThan(8);
        foreach (string[] command in commands)
        {
            string help = _folder.Run(0, command[1], "--help").Output;
            command.Where(word => word.StartsWith("--", StringComparison.Ordinal) && !help.Contains(word)).Should().BeEmpty();
        }
    }

    private static IEnumerable<string> Ours() => MarkdownPage.Read("coming-from-pytorch.md").Sections
        .SelectMany(section => section.Rows).SelectMany(row => new PageSection("", row["here"]).Words);
}

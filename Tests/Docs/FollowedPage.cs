using System.Diagnostics;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Tests.Experiments;

namespace Imta.MetaWeight.Tests.Docs;

/// <summary>
/// A page of <c>docs/</c> that a test follows as a user would: its commands and its files, in a folder outside the checkout.
/// </summary>
internal sealed class FollowedPage : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    private readonly TemporaryFolder _folder = new();

    public FollowedPage(string name)
    {
        Page = MarkdownPage.Read(name);
        Commands = [.. Page.Blocks.Where(block => block.Language == "sh").Select(block => block.Text)];
    }

    public MarkdownPage Page { get; }

    /// <summary>The blocks that a shell runs, in their order.</summary>
    public IReadOnlyList<string> Commands { get; }

    /// <summary>The page's one block of a program's output.</summary>
    public string Output => Page.Blocks.Single(block => block.Language == "text").Text;

    /// <summary>The configuration that these tests were built in, where the checkout's own folders hold it.</summary>
    private static string? OwnConfiguration
    {
        get
        {
            string folder = Path.GetRelativePath(MarkdownPage.Repository(), AppContext.BaseDirectory);
            return folder.Split(Path.DirectorySeparatorChar) is ["Tests", "bin", var name, ..] ? name : null;
        }
    }

    public string In(params string[] path) => _folder.In(path);

    /// <summary>
    /// Makes the packages as <c>docs/packages.md</c> does, of what these tests were built with; the tool, of 130 MB, is left to CI.
    /// </summary>
    public void AddPackages()
    {
        string commands = MarkdownPage.Read("packages.md").Blocks.First(block => block.Language == "sh").Text;
        Run(commands.Replace("dotnet pack", "dotnet pack --no-build -p:PackImtaTool=false -c Release", StringComparison.Ordinal));
    }

    /// <summary>Writes the page's C# files.</summary>
    public void WriteFiles()
    {
        foreach (CodeBlock block in Page.Blocks.Where(block => block.Language == "csharp"))
        {
            File.WriteAllText(In(block.File), block.Text);
        }
    }

    /// <summary>Runs one of the page's blocks by the shell and returns what it printed.</summary>
    public string Run(string commands)
    {
        string script = commands
            .Replace("PATH-TO-CLONE", MarkdownPage.Repository(), StringComparison.Ordinal)
            .Replace("-c Release", $"-c {OwnConfiguration ?? "Release"}", StringComparison.Ordinal);
        string output = In("output.txt");
        var start = new ProcessStartInfo(
            "/bin/sh", ["-c", "exec >\"$0\" 2>&1; set -e\n" + script, output])
        { WorkingDirectory = _folder.Path };

        // No server of the build stays behind; and what these tests were built with is there already, so the checkout is left alone.
        start.Environment["MSBUILDDISABLENODEREUSE"] = "1";
        start.Environment["UseSharedCompilation"] = "false";
        start.Environment["BuildProjectReferences"] = OwnConfiguration is null ? "true" : "false";
        if (File.Exists(In("nuget.config")))
        {
            RestoreBesideNuGet(start.Environment);
        }

        using Process process = Process.Start(start)!;
        if (!process.WaitForExit(Patience))
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"{script} did not end; it said: {File.ReadAllText(output)}");
        }

        string said = File.ReadAllText(output);
        process.ExitCode.Should().Be(0, $"{script} said: {said}");
        return said;
    }

    public void Dispose() => _folder.Dispose();

    /// <summary>NuGet's folder would keep our packages, and take them for those of later tests: it is only read.</summary>
    private void RestoreBesideNuGet(IDictionary<string, string?> environment)
    {
        string own = Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".nuget", "packages");
        environment["RestoreFallbackFolders"] = Environment.GetEnvironmentVariable("NUGET_PACKAGES") ?? own;
        environment["NUGET_PACKAGES"] = In("nuget");
    }
}

using System.Globalization;
using System.Text.RegularExpressions;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Tests.Architecture;

namespace Imta.MetaWeight.Tests.Docs;

/// <summary>Follows <c>docs/library.md</c> as a user would: its commands and its files, in a folder outside the checkout.</summary>
public sealed partial class LibraryPageTests : IDisposable
{
    private const int Exits = 3;
    private const int Epochs = 4;
    private const int LinesOfTheNetwork = 50;

    private readonly FollowedPage _page = new("library.md");

    [Fact]
    public void What_it_builds_learns_saves_and_repeats_itself()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "the page's commands are run by /bin/sh");
        IReadOnlyList<string> commands = _page.Commands;
        commands.Should().HaveCount(3, "a project, a run with weights, a run without");
        _page.AddPackages();
        _page.Run(commands[0]);
        _page.WriteFiles();

        string learned = _page.Run(commands[1]);
        CheckLearned(learned);
        Masked(learned).Should().Be(Masked(_page.Output));
        CheckSaved();

        string program = Directory.GetFiles(_page.In("my-study", "bin"), "my-study.dll", SearchOption.AllDirectories).Single();
        _page.Run($"dotnet {program}").Should().Be(learned);
        UnheldNumbers.In(program).Should().BeEmpty();

        CheckPlain(_page.Run(commands[2]));
    }

    [Fact]
    public void Its_network_has_at_most_fifty_lines()
        => _page.Page.Blocks.Single(block => block.File == "my-study/SmallNetwork.cs").Text.TrimEnd().Split('\n').Length.Should()
            .BeInRange(20, LinesOfTheNetwork);

    [Fact]
    public void Every_member_that_it_names_exists() => DocumentedNames.Missing(_page.Page.Words).Should().BeEmpty();

    public void Dispose() => _page.Dispose();

    private static void CheckLearned(string output)
    {
        double[][] losses = Losses(output);
        losses.Should().HaveCount(Epochs);
        losses[^1].Zip(losses[0]).Should().HaveCount(Exits).And.OnlyContain(loss => loss.First < 0.7 * loss.Second);
        var weights = Weights(output);
        weights.SelectMany(epoch => new[] { epoch.Clean, epoch.Noisy })
            .Should().OnlyContain(ofExits => Math.Abs(ofExits.Average() - 1) < 6e-4, "they have mean 1 and are printed to three digits");
        (weights[^1].Noisy[0] < weights[^1].Clean[0] && weights[^1].Noisy[^1] > weights[^1].Clean[^1]).Should().BeTrue(output);
        Numbers(Accuracy().Match(output).Groups[1].Value).Should().HaveCount(Exits).And.OnlyContain(share => share > 0.5);
        Match early = LeavingEarly().Match(output);
        Numbers(early.Groups[1].Value).Single().Should().BeGreaterThan(0.5);
        Numbers(early.Groups[2].Value).Should().Equal([0.5, 0.3, 0.2], (share, expected) => Math.Abs(share - expected) < 0.1);
    }

    private static void CheckPlain(string output)
    {
        double[][] losses = Losses(output);
        losses[^1].Zip(losses[0]).Should().HaveCount(Exits).And.OnlyContain(loss => loss.First < loss.Second);
        Weights(output).SelectMany(epoch => epoch.Clean.Concat(epoch.Noisy))
            .Should().HaveCount(Epochs * 2 * Exits).And.OnlyContain(weight => weight == 1);
    }

    private void CheckSaved()
    {
        using DisposeScope scope = NewDisposeScope();
        TorchFileReader.Read(_page.In("my-study.pt")).Tensors().Keys
            .Should().HaveCount(Exits * 7).And.Contain(["stage0.kernel", "stage2.variance"]);
    }

    private static double[][] Losses(string output) => [.. Epoch().Matches(output).Select(match => Numbers(match.Groups["loss"].Value))];

    private static (double[] Clean, double[] Noisy)[] Weights(string output)
        => [.. Epoch().Matches(output).Select(match => (Numbers(match.Groups["clean"].Value), Numbers(match.Groups["noisy"].Value)))];

    private static double[] Numbers(string text)
        => [.. text.Split(' ').Select(number => double.Parse(number, CultureInfo.InvariantCulture))];

    private static string Masked(string output) => Digit().Replace(output, "0");

    [GeneratedRegex(
        "^epoch [0-9]+: loss (?<loss>[0-9. ]+); mean weight of clean images (?<clean>[0-9. ]+), of noisy (?<noisy>[0-9. "
            + "]+)$", RegexOptions.Multiline)]
    private static partial Regex Epoch();

    [GeneratedRegex("^accuracy on other images: ([0-9. ]+)$", RegexOptions.Multiline)]
    private static partial Regex Accuracy();

    [GeneratedRegex("^leaving early: accuracy ([0-9.]+), shares of the exits ([0-9. ]+)$", RegexOptions.Multiline)]
    private static partial Regex LeavingEarly();

    [GeneratedRegex("[0-9]")]
    private static partial Regex Digit();
}

using System.IO.Compression;
using System.Xml.Linq;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Tests.Experiments.Data.Pictures;

namespace Imta.MetaWeight.Tests.Docs;

/// <summary>Follows <c>docs/packages.md</c> as a user would, but for the installed tool, whose package CI makes.</summary>
public sealed class PackagesPageTests : IDisposable
{
    private static readonly string[] Libraries = ["imta", .. new[] { "Allocation", "Backbones", "Losses", "Meta" }.Select(Named)];

    private readonly FollowedPage _page = new("packages.md");

    public void Dispose() => _page.Dispose();

    [Fact]
    public void The_package_has_all_libraries_their_docs_and_symbols_and_no_libtorch()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "the page's commands are run by /bin/sh");
        _page.AddPackages();

        string file = Directory.GetFiles(_page.In("packages")).Should().ContainSingle().Which;
        using ZipArchive package = ZipFile.OpenRead(file);
        string[] names = [.. package.Entries.Select(entry => entry.FullName)];
        names.Should().Contain(Libraries.SelectMany(
            name => new[] { "dll", "xml", "pdb" }.Select(kind => $"lib/net10.0/{name}.{kind}")));
        names.Should().Contain([
            "LICENSE", "README.md", "configs/quickstart.yaml", "configs/imta/imta-ablation-all.yaml",
            "buildTransitive/Imta.MetaWeight.targets", "buildTransitive/TorchStart.cs"
        ]);
        using Stream specification = package.GetEntry("Imta.MetaWeight.nuspec")!.Open();
        XElement metadata = XDocument.Load(specification).Root!.Elements().Single();
        string[] dependencies =
        [
            .. metadata.Descendants().Where(one => one.Name.LocalName == "dependency").Select(one => one.Attribute("id")!.Value),
        ];
        dependencies.Should().Contain(["TorchSharp", "TorchSharp.PyBridge", "MathNet.Numerics", "CsvHelper"]).And
            .NotContain(name => name.Contains("libtorch") || name.StartsWith("Imta"));
        metadata.Elements().Single(one => one.Name.LocalName == "readme").Value.Should().Be("README.md");
    }

    /// <summary>Its program, which was trained for by the tool's commands, says of pictures what <c>imta infer</c> says.</summary>
    [Fact]
    public void Its_program_classifies_as_imta_infer_does()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "the page's commands are run by /bin/sh");
        _page.Commands.Should().HaveCount(3, "the packages, a project and a run");
        Train();
        File.WriteAllBytes(_page.In("a.png"), GoldenPictures.Bytes("colour.png"));
        File.WriteAllBytes(_page.In("b.png"), GoldenPictures.Bytes("landscape.jpg"));
        File.WriteAllText(_page.In("c.png"), "no picture");
        Imta("infer run --policy policy.json --images . --out answers.csv");
        _page.AddPackages();
        _page.Run(_page.Commands[1]);
        _page.WriteFiles();

        string[] said = _page.Run(_page.Commands[2].Replace("b.png", "b.png c.png", StringComparison.Ordinal)).TrimEnd().Split('\n');

        said.Should().HaveCount(5);
        InferenceRow[] answers = [.. CsvTable.Read<InferenceRow>(_page.In("answers.csv"))];
        said[..2].Should().Equal(answers.Select(row => FormattableString.Invariant(
            $"{row.File}: {row.Name}, confidence {row.Confidence:0.000}, exit {row.Exit}, {row.Macs} multiply-adds")));
        said[2].Should().Be("c.png: unreadable");
        string[] exits =
        [
            .. CsvTable.Read<CostRow>(_page.In("run", "cost.csv")).Select(row => $", exit {row.Exit}, {row.Macs} multiply-adds"),
        ];
        said[3..].Should().OnlyContain(line => exits.Any(line.EndsWith));
    }

    [Fact]
    public void Every_member_that_it_names_exists() => DocumentedNames.Missing(_page.Page.Words).Should().BeEmpty();

    private static string Named(string library) => $"Imta.MetaWeight.{library}";

    /// <summary>The commands of the page's tool, on fewer images.</summary>
    private void Train()
    {
        CodeBlock tool = _page.Page.Blocks.Single(block => block.Language == "console");
        string[] commands = [.. tool.Text.TrimEnd().Split('\n').Skip(1).Select(line => line["imta ".Length..])];
        Imta(commands[0] + " --set train.epochs=1 --set data.trainLimit=200 --set data.testLimit=40");
        Imta(commands[1]);
    }

    private void Imta(string arguments) => _page.Run($"dotnet {Path.Combine(AppContext.BaseDirectory, "imta.dll")} {arguments}\n");
}

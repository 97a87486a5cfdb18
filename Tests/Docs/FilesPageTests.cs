using System.Reflection;
using System.Text.Json;
using System.Text.RegularExpressions;
using CsvHelper;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Tests.Allocation;
using Imta.MetaWeight.Tests.Experiments;

namespace Imta.MetaWeight.Tests.Docs;

/// <summary><c>docs/files.md</c> defines every file of a run, and everything in it.</summary>
public sealed partial class FilesPageTests
{
    private readonly MarkdownPage _page = MarkdownPage.Read("files.md");

    public static TheoryData<Type> Tables => [.. typeof(EpochRow).Assembly.GetTypes()
        .Where(type => type.Namespace == typeof(EpochRow).Namespace && type.GetProperties().Any(IsColumn))];

    [SkippableTheory]
    [MemberData(nameof(Tables))]
    public void Every_column_of_a_table_is_defined_in_its_place(Type row)
    {
        using var folder = new TemporaryFolder();
        typeof(CsvTable).GetMethod(nameof(CsvTable.Write))!.MakeGenericMethod(row).Invoke(null, [folder.In("table.csv"), Array.CreateInstance(row, 0)]);
        string[] columns = File.ReadLines(folder.In("table.csv")).Single().Split(',');

        _page.Sections.Where(section => section.Heading.Contains(".csv", StringComparison.Ordinal))
            .Should().ContainSingle(section => Named(section, "column").SequenceEqual(columns), $"{row.Name} has these: {string.Join(", ", columns)}");
    }

    [SkippableFact]
    public void A_finished_run_has_the_files_and_keys_that_it_defines()
    {
        using DisposeScope scope = NewDisposeScope();
        using var folder = new TemporaryFolder();
        ImtaProcess.Result result = ImtaProcess.Run(folder.Path, ["train", "--out", "run", .. ImtaProcess.Tiny, "--set", "train.epochs=1"]);
        result.Code.Should().Be(0, result.All);

        string run = folder.In("run");
        Directory.EnumerateFiles(run, "*", SearchOption.AllDirectories)
            .Select(file => Epoch().Replace(Path.GetRelativePath(run, file), "-NNNN"))
            .Should().BeEquivalentTo(Named(_page.Sections[0], "file"));
        JsonDocument.Parse(File.ReadAllText(folder.In("run", "environment.json"))).RootElement.EnumerateObject()
            .Select(key => key.Name)
            .Should().BeEquivalentTo(Named(Section("`environment.json`"), "key"));
        TorchFileReader.Read(folder.In("run", "checkpoints", "latest.pt")).Entries.Keys.Select(key => key.Text)
            .Should().BeEquivalentTo(Named(Section("`checkpoints/latest.pt`"), "key"));
    }

    [SkippableFact]
    public void A_policy_has_the_keys_that_it_defines()
    {
        string[] named = [.. Named(Section("`policy.json`"), "key")];

        KeysOf(new ThresholdPolicy(ExitCriteria.Confidence, [0.5f, 0])).Should().Equal(named.Where(key => key != "kind"));
        KeysOf(new PatiencePolicy(2)).Should().Equal(named.Where(key => key != "thresholds").Select(key => key == "criterion" ? "agreeing" : key));
    }

    [SkippableFact]
    public void The_objects_of_imta_verify_have_the_fields_that_it_defines()
    {
        using var folder = new TemporaryFolder();
        File.Copy(GoldenFiles.Find("class_balanced_weights.csv"), folder.In("class_balanced_weights.csv"));

        ImtaProcess.Result result = ImtaProcess.Run(folder.Path, "verify", ".", "--json");

        result.Code.Should().Be(0, result.All);
        JsonDocument.Parse(result.Output).RootElement.EnumerateArray().Should().ContainSingle()
            .Which.EnumerateObject().Select(field => field.Name).Should().Equal(Named(Section("What `imta verify --json` prints"), "field"));
    }

    [SkippableFact]
    public void Every_setting_that_it_names_exists() => DocumentedNames.Missing(_page.Words).Should().BeEmpty();

    private static bool IsColumn(PropertyInfo property) => property.GetCustomAttribute<CsvColumnAttribute>() is not null;

    /// <summary>What the first cells of a section's table define.</summary>
    private static IEnumerable<string> Named(PageSection section, string column)
        => section.Rows.Where(row => row.ContainsKey(column)).SelectMany(row => PageSection.WordsOf(row[column]));

    private static string[] KeysOf(IExitPolicy policy)
    {
        using var folder = new TemporaryFolder();
        var budget = new PolicyBudget(null, null, [0.5f, 0.5f]);
        var validation = new PolicyValidation(2, "", [0.5, 0.5], 1, 2);
        new PolicyFile(policy, budget, validation, [1, 3], "generated", Normalisation.Generated, ["a", "b"], "").Write(folder.In("policy.json"));
        return [.. JsonDocument.Parse(File.ReadAllText(folder.In("policy.json"))).RootElement.EnumerateObject().Select(key => key.Name)];
    }

    private PageSection Section(string heading) => _page.Sections.Single(section => section.Heading == heading);

    [GeneratedRegex("-[0-9]{4}(?=[.])")]
    private static partial Regex Epoch();
}

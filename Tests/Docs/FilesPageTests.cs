using System.ComponentModel;
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
using Imta.MetaWeight.Experiments.Training;
using Imta.MetaWeight.Tests.Allocation;
using Imta.MetaWeight.Tests.Experiments;

namespace Imta.MetaWeight.Tests.Docs;

/// <summary><c>docs/files.md</c> defines every file of a run, and everything in it.</summary>
public sealed partial class FilesPageTests
{
    private readonly MarkdownPage _page = MarkdownPage.Read("files.md");

    /// <summary>The columns of each table with their meanings, from the objects that write them.</summary>
    private static readonly Dictionary<string, IReadOnlyList<(string Name, string Meaning)>> Tables = new()
    {
        ["epochs.csv"] = [.. EpochColumn.Defaults.Select(column => (column.Name, column.Meaning))],
        ["timing.csv"] = Of<TimingRow>(),
        ["weights/epoch-NNNN.csv"] = Of<WeightRow>(),
        ["anytime.csv"] = Of<AnytimeRow>(),
        ["dynamic.csv"] = Of<DynamicRow>(),
        ["exits.csv"] = Of<ExitRow>(),
        ["classes.csv"] = Of<ClassRow>(),
        ["correlation.csv"] = Of<CorrelationRow>(),
        ["predictions.csv"] = Of<PredictionRow>(),
        ["cost.csv"] = Of<CostRow>(),
        ["latency.csv"] = Of<LatencyRow>(),
        ["answers.csv"] = Of<InferenceRow>(),
        ["runs.csv"] = Of<SweepRunRow>(),
        ["summary.csv"] = Of<SummaryRow>(),
        ["comparison.csv"] = Of<ComparisonRow>(),
    };

    /// <summary>A mismatch leaves the page as it should be in the temporary folder.</summary>
    [Fact]
    public void The_columns_of_every_table_stand_in_its_section_as_the_code_defines_them()
    {
        string page = Path.Combine(MarkdownPage.Repository(), "docs", "files.md"), text = File.ReadAllText(page).ReplaceLineEndings("\n");
        string generated = ColumnTable().Replace(text, match => $"{match.Groups["begin"].Value}{Rows(Tables[match.Groups["file"].Value])}");

        ColumnTable().Matches(text).Select(match => match.Groups["file"].Value).Should().BeEquivalentTo(Tables.Keys);
        string expected = Path.Combine(Path.GetTempPath(), "imta-files.md");
        if (generated != text)
        {
            File.WriteAllText(expected, generated);
        }

        generated.Should().Be(text, $"the column tables of docs/files.md are generated; {expected} is up to date");
    }

    [Fact]
    public void Every_table_has_a_section_and_every_column_a_meaning()
    {
        Type[] rows = [.. typeof(CsvTable).Assembly.GetTypes()
            .Where(
                type => type.Namespace == typeof(CsvTable).Namespace && type != typeof(SavedEpoch) && type.GetProperties().Any(IsColumn))];

        rows.Select(ColumnsOf).Should().BeEquivalentTo(Tables.Values.Skip(1));
        Tables.Values.SelectMany(columns => columns).Select(column => column.Meaning).Should().NotContain("");
        ColumnsOf(typeof(SavedEpoch)).Select(column => column.Name).Should().BeSubsetOf(EpochColumn.Defaults.Select(column => column.Name));
    }

    [Fact]
    public void A_finished_run_has_the_files_and_keys_that_it_defines()
    {
        using DisposeScope scope = NewDisposeScope();
        using var folder = new TemporaryFolder();
        ImtaProcess.Result result = ImtaProcess.Run(folder.Path, [
            "train", "--out", "run", .. ImtaProcess.Tiny, "--set", "train.epochs=1", "--set", "export.logits=true",
            "--set", "export.tensorboard=true",
        ]);
        result.Code.Should().Be(0, result.All);

        string run = folder.In("run");
        Directory.EnumerateFiles(run, "*", SearchOption.AllDirectories)
            .Select(file => Start().Replace(Epoch().Replace(Path.GetRelativePath(run, file), "-NNNN"), "*"))
            .Should().BeEquivalentTo(Named(_page.Sections[0], "file"));
        JsonDocument.Parse(File.ReadAllText(folder.In("run", "environment.json"))).RootElement.EnumerateObject()
            .Select(key => key.Name)
            .Should().BeEquivalentTo(Named(Section("`environment.json`"), "key"));
        TorchFileReader.Read(folder.In("run", "checkpoints", "latest.pt")).Entries.Keys.Select(key => key.Text)
            .Should().BeEquivalentTo(Named(Section("`checkpoints/latest.pt`"), "key"));
    }

    [Fact]
    public void A_policy_has_the_keys_that_it_defines()
    {
        string[] named = [.. Named(Section("`policy.json`"), "key")];

        KeysOf(new ThresholdPolicy(ExitCriteria.Confidence, [0.5f, 0])).Should().Equal(named.Where(key => key != "kind"));
        KeysOf(new PatiencePolicy(2)).Should()
            .Equal(named.Where(key => key != "thresholds").Select(key => key == "criterion" ? "agreeing" : key));
    }

    [Fact]
    public void The_objects_of_imta_verify_have_the_fields_that_it_defines()
    {
        using var folder = new TemporaryFolder();
        File.Copy(GoldenFiles.Find("class_balanced_weights.csv"), folder.In("class_balanced_weights.csv"));

        ImtaProcess.Result result = ImtaProcess.Run(folder.Path, "verify", ".", "--json");

        result.Code.Should().Be(0, result.All);
        JsonDocument.Parse(result.Output).RootElement.EnumerateArray().Should().ContainSingle()
            .Which.EnumerateObject().Select(field => field.Name).Should()
                .Equal(Named(Section("What `imta verify --json` prints"), "field"));
    }

    [Fact]
    public void Every_setting_that_it_names_exists() => DocumentedNames.Missing(_page.Words).Should().BeEmpty();

    private static IReadOnlyList<(string Name, string Meaning)> Of<T>() => ColumnsOf(typeof(T));

    private static IReadOnlyList<(string Name, string Meaning)> ColumnsOf(Type row)
        => [.. row.GetProperties().Where(IsColumn).Select(property =>
        (property.GetCustomAttribute<CsvColumnAttribute>()!.Name!,
            property.GetCustomAttribute<DescriptionAttribute>()?.Description ?? ""))];

    /// <summary>A table's rows in Markdown; neighbours with one meaning share one.</summary>
    private static string Rows(IReadOnlyList<(string Name, string Meaning)> columns)
    {
        var rows = new List<(string Names, string Meaning)>();
        foreach ((string name, string meaning) in columns)
        {
            bool isShared = rows.Count > 0 && rows[^1].Meaning == meaning;
            (string Names, string Meaning) row = (isShared ? $"{rows[^1].Names}, `{name}`" : $"`{name}`", meaning);
            rows = [.. rows.SkipLast(isShared ? 1 : 0), row];
        }

        return $"| column | meaning |\n|---|---|\n{string.Concat(rows.Select(row => $"| {row.Names} | {row.Meaning} |\n"))}";
    }

    private static bool IsColumn(PropertyInfo property) => property.GetCustomAttribute<CsvColumnAttribute>() is not null;

    /// <summary>What the first cells of a section's table define.</summary>
    private static IEnumerable<string> Named(PageSection section, string column)
        => section.Rows.Where(row => row.ContainsKey(column)).SelectMany(row => PageSection.WordsOf(row[column]));

    private static string[] KeysOf(IExitPolicy policy)
    {
        using var folder = new TemporaryFolder();
        var budget = new PolicyBudget(null, null, [0.5f, 0.5f]);
        var validation = new PolicyValidation(2, "", [0.5, 0.5], 1, 2);
        var file = new PolicyFile(policy, budget, validation, [1, 3], "generated", Normalisation.Generated, ["a", "b"], "")
        {
            Guarantee = new PolicyGuarantee("gap", 0.05, null, "crc", 0.5, 2, 0, 0.04),
        };
        file.Write(folder.In("policy.json"));
        return [.. JsonDocument.Parse(File.ReadAllText(folder.In("policy.json"))).RootElement.EnumerateObject().Select(key => key.Name)];
    }

    private PageSection Section(string heading) => _page.Sections.Single(section => section.Heading == heading);

    // A section's heading begins with the file's name, and its table has a column of columns.
    [
        GeneratedRegex(
            @"(?<begin>^#+ `(?<file>[^`]+)`.*\n(?:(?!#|\| column ).*\n)*)(?<rows>\| column .*\n(?:\|.*\n)*)", RegexOptions.Multiline)
    ]
    private static partial Regex ColumnTable();

    [GeneratedRegex("-[0-9]{4}(?=[.])")]
    private static partial Regex Epoch();

    [GeneratedRegex("(?<=tfevents[.]).*")]
    private static partial Regex Start();
}

using System.Globalization;
using System.Text.RegularExpressions;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Sweeps;
using MathNet.Numerics.Statistics;
using RunMetrics = System.Collections.Generic.IReadOnlyDictionary<
    int, System.Collections.Generic.Dictionary<Imta.MetaWeight.Experiments.Sweeps.MetricKey, double>>;

namespace Imta.MetaWeight.Tests.Docs;

/// <summary>The tables in the sections of <c>results/README.md</c> follow from those of the runs beside it.</summary>
public sealed partial class ResultsPageTests
{
    private const string Claim = "claim";
    private const double Significant = 0.05;
    private const double LeastShown = 0.0005;
    private const double Rounding = 1e-9; // of sums on another processor

    // docs/protocol.md: primary claims, then secondary ones.
    private static readonly string[][] OfLongTails =
    [
        ["deferred − plain", "meta-weight-net − plain", "l2w-den-mat − plain"],
        ["class-balanced − plain", "l2w-den − plain", "l2w-den-row − plain"],
    ];
    private static readonly Dictionary<string, string[][]> Families = new()
    {
        ["balanced"] =
        [
            ["l2w-den − plain", "imta − plain", "l2w-den − plain-long"],
            ["ge − plain", "isc − plain", "ofa − plain", "l2w-den-5 − plain", "l2w-den-imta − plain", "l2w-den − halves"],
        ],
        ["long-tail-100"] = OfLongTails,
        ["long-tail-50"] = OfLongTails,
        ["sensitivity"] = [],
    };

    private static readonly Lazy<MarkdownPage> Page = new(() => MarkdownPage.Read("../results/README.md"));

    private static string[] Names
        => [.. Directory.GetDirectories(In()).Where(folder => Directory.Exists(Path.Combine(folder, "runs"))).Select(Path.GetFileName)!];

    public static TheoryData<string> Folders => [.. Names];

    [Fact]
    public void Each_folder_of_results_has_a_section_and_each_section_a_folder()
        => Page.Value.Sections.Select(FolderOf).Where(name => name is not null).Should().BeEquivalentTo(Names);

    [Theory]
    [MemberData(nameof(Folders))]
    public void Summary_and_comparison_follow_from_the_runs(string folder)
    {
        Sweep sweep = Read(folder);

        ShouldAgree(CsvTable.Read<SummaryRow>(In(folder, "summary.csv")), SweepSummary.Summary(sweep.Variants));
        File.Exists(In(folder, "comparison.csv")).Should().Be(sweep.IsComplete, "nothing is compared until all is done");
        if (sweep.IsComplete)
        {
            ShouldAgree(CsvTable.Read<ComparisonRow>(In(folder, "comparison.csv")), sweep.Comparison);
        }
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public void Each_run_has_the_settings_of_its_sweep(string folder)
    {
        SweepPlan plan = SweepPlan.Load(In(folder, "sweep.yaml"), data: null);

        plan.Runs.Count(run => File.Exists(In(folder, SweepFolder.RelativePath(run), "config.yaml"))).Should()
            .Be(CsvTable.Read<SweepRunRow>(In(folder, "runs.csv")).Count(run => run.State == SweepFolder.Done), "each run is of the sweep");
        FluentActions.Invoking(() => new SweepFolder(In(folder)).Check(plan)).Should().NotThrow();
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public void Claims_are_those_of_the_protocol_and_none_is_judged_before_the_end(string folder)
    {
        PageSection section = SectionOf(folder);
        string[][] claims =
        [
            .. section.Tables.Where(table => table.Any(row => row.ContainsKey(Claim)))
                .Select(table => table.Select(row => string.Join(" − ", PageSection.WordsOf(row["compared"]))).ToArray()),
        ];

        if (Families.TryGetValue(folder, out string[][]? families))
        {
            string[] missing = [.. MissingOf(folder)];
            bool ended = missing.Length == 0 || section.Prose.Contains("Missing:");
            claims.Should().BeEquivalentTo(ended ? families : [], order => order.WithStrictOrdering());
            section.Rows.Where(row => row.ContainsKey(Claim) && row["where"] != "over budgets").Should().BeEmpty();
            if (ended && missing.Length > 0)
            {
                PageSection.WordsOf(section.Prose[section.Prose.IndexOf("Missing:", StringComparison.Ordinal)..]).Should().Contain(missing);
            }
        }
        else
        {
            claims.Should().ContainSingle("a short folder is one family").Which.Should().OnlyHaveUniqueItems();
        }
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public void Each_cell_of_the_page_follows_from_the_runs(string folder)
    {
        Sweep sweep = Read(folder);
        PageSection section = SectionOf(folder);
        string[] wrong =
        [
            .. from table in section.Tables
               from row in table
               from cell in row
               let expected = row.ContainsKey(Claim) ? ClaimCell(sweep, table, row, cell.Key) : MeanCell(sweep, row, cell.Key)
               where expected is not null && cell.Value != expected
               select $"{string.Join(", ", row.Values.Take(3))}: {cell.Key} is {expected}, not {cell.Value}",
        ];

        wrong.Should().BeEmpty();
        section.Rows.Where(row => !row.ContainsKey(Claim)).Select(row => PageSection.WordsOf(row[""])[0]).Should().BeEquivalentTo(
            sweep.Variants.Select(variant => variant.Name));
        Fraction().Matches(section.Prose).Select(number => number.Value).Should().BeEmpty("figures stand in tables, which this test reads");
    }

    [Fact]
    public void Hours_of_the_long_runs_follow_from_their_epochs()
    {
        double seconds = Families.Keys.Intersect(Names).SelectMany(name => Read(name).Runs.SelectMany(runs => runs))
            .Sum(SecondsWithoutPauses);
        Match used = Hours().Match(string.Join(' ', Page.Value.Sections.Select(section => section.Prose)));

        used.Groups["hours"].Value.Should().Be((seconds / 3600 / 2).ToString("F0", CultureInfo.InvariantCulture), "two run at a time");
    }

    /// <summary>A run's epochs, one in which it stood still counted as one and a half of the median one.</summary>
    private static double SecondsWithoutPauses(string run)
    {
        double[] epochs = [.. CsvTable.Read<TimingRow>(Path.Combine(run, "timing.csv")).Select(
            row => row.TrainSeconds + row.ValidationSeconds)];
        return epochs.Sum(epoch => Math.Min(epoch, 1.5 * epochs.Median()));
    }

    /// <summary>A cell of a table of means; null in the first column, the variant's.</summary>
    private static string? MeanCell(Sweep sweep, Dictionary<string, string> row, string column)
    {
        if (column.Length == 0)
        {
            return null;
        }

        string variant = PageSection.WordsOf(row[""])[0];
        RunMetrics runs = sweep[variant];
        if (column is "seeds" or "seconds a run")
        {
            return column == "seeds"
                ? string.Join(", ", runs.Keys.Order())
                : sweep.Seconds(variant).Median().ToString("F0", CultureInfo.InvariantCulture);
        }

        double[] values = [.. runs.Values.Select(run => run[sweep.Quantity(column)])];
        string mean = (100 * values.Mean()).ToString("F1", CultureInfo.InvariantCulture);
        return values.Length == 1 ? mean : string.Create(CultureInfo.InvariantCulture, $"{mean} ± {100 * values.StandardDeviation():F1}");
    }

    /// <summary>
    /// A cell of a table of claims, which are one family of tests; null in the columns that say what is compared. A claim that no two runs
    /// are there for, or one of whose runs diverged, is not shown.
    /// </summary>
    private static string? ClaimCell(
        Sweep sweep, IReadOnlyList<Dictionary<string, string>> family, Dictionary<string, string> row, string column)
    {
        double[] differences = Differences(sweep, row);
        row.Keys.Should().Equal(Claim, "compared", "where", "points (95 %)", "p", "verdict");
        double[] adjusted = SweepSummary.Holm([.. family.Select(claim => P(sweep, claim))]);
        double p = adjusted[family.Index().First(claim => claim.Item == row).Index];
        return column switch
        {
            "points (95 %)" => differences.Length == 0 ? "–" : SweepSummary.Mean(differences) is { } test
                ? $"{Points(differences.Mean())} ({Points(test.Low)} to {Points(test.High)})"
                : Points(differences.Mean()),
            "p" => p < LeastShown ? "< 0.001" : p.ToString("F3", CultureInfo.InvariantCulture),
            "verdict" => p >= Significant ? "not shown" : differences.Mean() > 0 ? "shown" : "contradicted",
            _ => null,
        };
    }

    /// <summary>p of the differences per seed; 1 where they do not vary or a run of either diverged.</summary>
    private static double P(Sweep sweep, Dictionary<string, string> claim)
        => PageSection.WordsOf(claim["compared"]).Any(sweep.Diverged.Contains) ? 1 : SweepSummary.Mean(Differences(sweep, claim))?.P ?? 1;

    private static double[] Differences(Sweep sweep, Dictionary<string, string> claim)
    {
        IReadOnlyList<string> pair = PageSection.WordsOf(claim["compared"]);
        MetricKey quantity = sweep.Quantity(claim["where"]);
        (RunMetrics one, RunMetrics other) = (sweep[pair[0]], sweep[pair[1]]);
        return [.. one.Where(run => other.ContainsKey(run.Key)).Select(run => run.Value[quantity] - other[run.Key][quantity])];
    }

    private static string Points(double fraction)
        => (fraction < 0 ? "−" : "+") + Math.Abs(100 * fraction).ToString("F1", CultureInfo.InvariantCulture);

    private static Sweep Read(string folder)
    {
        SweepPlan plan = SweepPlan.Load(In(folder, "sweep.yaml"), data: null);
        IReadOnlyList<SweepRunRow> runs = CsvTable.Read<SweepRunRow>(In(folder, "runs.csv"));
        SweepRunRow[] done = [.. runs.Where(run => run.State == SweepFolder.Done)];
        done.Should().NotBeEmpty();
        return new Sweep(
            [
                .. plan.Variants.Where(variant => done.Any(run => run.Variant == variant)).Select(variant => (variant,
                    (RunMetrics)done.Where(run => run.Variant == variant)
                        .ToDictionary(run => run.Seed, run => SweepSummary.ReadMetrics(In(folder, run.Folder))))),
            ],
            plan.Baselines,
            done.Length == plan.Runs.Count,
            done.ToLookup(run => run.Variant, run => In(folder, run.Folder)),
            [.. runs.Where(run => run.Message?.Contains("NaN or infinite") == true).Select(run => run.Variant)]);
    }

    /// <summary>The variants without all their runs.</summary>
    private static IEnumerable<string> MissingOf(string folder) => SweepPlan.Load(In(folder, "sweep.yaml"), data: null).Runs
        .Where(run => !File.Exists(In(folder, SweepFolder.RelativePath(run), "exits.csv"))).Select(run => run.Variant).Distinct();

    private static void ShouldAgree<T>(IReadOnlyList<T> committed, IEnumerable<T> computed)
    {
        T[] expected = [.. computed];
        committed.Should().HaveSameCount(expected);
        string[] wrong =
        [
            .. from pair in committed.Zip(expected)
               from property in typeof(T).GetProperties()
               let values = (property.GetValue(pair.First), property.GetValue(pair.Second))
               where values is (double a, double b)
                   ? !(Math.Abs(a - b) <= Rounding * Math.Max(1, Math.Abs(b)))
                   : !Equals(values.Item1 ?? "", values.Item2 ?? "")
               select $"{pair.Second}: {property.Name} is {values.Item1} in the file",
        ];
        wrong.Should().BeEmpty();
    }

    private static PageSection SectionOf(string folder) => Page.Value.Sections.Single(section => FolderOf(section) == folder);

    private static string? FolderOf(PageSection section)
        => OfFolder().Match(section.Heading) is { Success: true } match ? match.Groups[1].Value : null;

    private static string In(params string[] parts) => Path.Combine([MarkdownPage.Repository(), "results", .. parts]);

    [GeneratedRegex("^`([^`]+)`:")]
    private static partial Regex OfFolder();

    [GeneratedRegex(@"used (?<hours>\d+)\s+of the 16 hours")]
    private static partial Regex Hours();

    [GeneratedRegex(@"\d+\.\d+")]
    private static partial Regex Fraction();

    /// <summary>The finished runs of a folder.</summary>
    /// <param name="Variants">Each with the metrics of its runs, by seed.</param>
    /// <param name="Baselines">What each is compared with.</param>
    /// <param name="IsComplete">Whether all runs of the sweep are finished.</param>
    /// <param name="Runs">Their folders.</param>
    /// <param name="Diverged">The variants with a run that did.</param>
    private sealed record Sweep(
        (string Name, RunMetrics Runs)[] Variants, IReadOnlyDictionary<string, string> Baselines, bool IsComplete,
        ILookup<string, string> Runs, HashSet<string> Diverged)
    {
        public IReadOnlyList<ComparisonRow> Comparison { get; } = [.. SweepSummary.Comparison(Variants, Baselines)];

        /// <summary>A variant's runs; none of one that has not run yet.</summary>
        public RunMetrics this[string variant]
            => Variants.SingleOrDefault(one => one.Name == variant).Runs ?? new Dictionary<int, Dictionary<MetricKey, double>>();

        public double[] Seconds(string variant) =>
        [
            .. Runs[variant].Select(run => CsvTable.Read<TimingRow>(Path.Combine(run, "timing.csv"))
                .Sum(row => row.TrainSeconds + row.ValidationSeconds)),
        ];

        /// <summary>What a table's column, or a claim's place, is about.</summary>
        public MetricKey Quantity(string where) => where.Split(' ') switch
        {
            ["exit", var exit] => new("top1", int.Parse(exit, CultureInfo.InvariantCulture)),
            ["over", "exits"] => new("top1_mean"),
            ["over", "budgets"] => new("budget_area"),
            [var classes] => new("class_accuracy", LastExit, classes),
            _ => throw new FormatException($"{where} is no quantity of summary.csv"),
        };

        private int LastExit => Variants[0].Runs.Values.First().Keys.Max(key => key.Exit) ?? 0;
    }
}

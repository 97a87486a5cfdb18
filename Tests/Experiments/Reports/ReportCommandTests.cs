using System.Text.Json;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Tests.Experiments.Reports;

/// <summary><c>imta report</c> as a user runs it.</summary>
public sealed class ReportCommandTests : IDisposable
{
    private const double T1 = 12.706204736; // Student's t, one degree of freedom, 97.5 %

    private static readonly string[] Figures =
        [
            "anytime", "budgeted", "validation-accuracy", "validation-loss", "train-loss", "meta-loss", "rates", "shares", "difficulty",
            "overthinking", "reliability", "ranks", "weights-loss", "weights-confidence", "weights-difficulty", "weights-epochs", "groups",
            "classes", "confusion", "epoch-time", "speed"
        ];

    private readonly WrittenRuns _runs = new();

    [Fact]
    public void Runs_are_drawn_from_their_tables_side_by_side()
    {
        _runs.Finished("a", "first", seed: 3);
        _runs.Finished("b", "second", top1: 0.5, weighted: false);

        _runs.Report(0, "a", "b").Output.Should().Be("wrote the report to report.html\n");

        Dictionary<string, JsonElement> blocks = _runs.Blocks("report.html");
        blocks.Where(block => Kind(block.Value) == "figure").Select(block => block.Key).Should().Equal(Figures);
        Kind(blocks["latency"]).Should().Be("note", "no run has latency.csv");
        Points(Series(blocks["anytime"], "first, seed 3")).Should().Equal((1e6, 0.6), (2e6, 0.65), (3e6, 0.7));
        Points(Series(blocks["anytime"], "second, seed 0")).Should().Equal((1e6, 0.5), (2e6, 0.55), (3e6, 0.6));
        Points(Series(blocks["budgeted"], "second, seed 0")).Select(point => point.X).Should().Equal(1.1e6, 1.2e6, 1.3e6, 1.4e6);
        Points(Series(blocks["validation-accuracy"], "first, seed 3")).Should()
            .Equal([(1.0, 0.4), (2.0, 0.65)], Close, "the last exit is shown first");
        View(blocks["train-loss"], 0).GetProperty("marks")[0].GetProperty("x").GetDouble().Should().Be(1.5, "phase II begins with epoch 2");
    }

    [Fact]
    public void Exits_weights_and_classes_are_what_the_tables_say()
    {
        _runs.Finished("a");

        _runs.Report(0, "a");

        Dictionary<string, JsonElement> blocks = _runs.Blocks("report.html");
        Rows(blocks["failure"]).Should().BeEquivalentTo(
            Enumerable.Range(1, WrittenRuns.Exits).Select(exit => (string[])
            [
                "study, seed 0", $"{exit}", $"{60 + (5 * (exit - 1))}.0", "10.0", "80.0", "–", "–", "20.0",
                exit == WrittenRuns.Exits ? "–" : "75.0", "–", "–",
            ]),
            options => options.WithStrictOrdering());
        JsonElement[] shares = [.. View(blocks["shares"], 0).GetProperty("series").EnumerateArray()];
        shares.Should().HaveCount(WrittenRuns.Exits).And.OnlyContain(exit => Points(exit).Length == 4);
        Points(Series(blocks["classes"], "study, seed 0")).Select(point => point.Y).Should()
            .Equal([0.5, 0.6, 0.7], Close, "ship has most training images, cat fewest");
        View(blocks["classes"], 0).GetProperty("categories").EnumerateArray().Select(name => name.GetString()).Should()
            .Equal("ship", "dog", "cat");

        // 40 samples make 10 bins; the weight is 1 + exit × loss / 100.
        Points(View(blocks["weights-loss"], 0).GetProperty("series")[1]).Should()
            .Equal(Enumerable.Range(0, 10).Select(bin => ((4.0 * bin) + 1.5, 1 + (2 * ((4.0 * bin) + 1.5) / 100))), Close);
        View(blocks["weights-loss"], 0).GetProperty("remark").GetString().Should().Be("a, weights/epoch-0002.csv");

        JsonElement ranks = blocks["ranks"];
        View(ranks, 0).GetProperty("remark").GetString().Should().EndWith("-1.000");
        int[] columns =
        [
            .. View(ranks, 0).GetProperty("series")[0].GetProperty("columns").EnumerateArray().Select(column => column.GetInt32()),
        ];
        Column(columns[0]).Should().Equal(Enumerable.Range(1, WrittenRuns.TestImages).Select(rank => (double)rank));
        Column(columns[1]).Should().Equal(Enumerable.Range(1, WrittenRuns.TestImages).Select(rank => (double)rank).Reverse());

        IEnumerable<double> Column(int at) => ranks.GetProperty("columns")[at].EnumerateArray().Select(rank => rank.GetDouble());
    }

    [Fact]
    public void A_sweeps_variants_are_means_over_their_seeds_with_the_intervals_and_its_statistics()
    {
        _runs.Sweep("study");

        _runs.Report(0, "study");

        Dictionary<string, JsonElement> blocks = _runs.Blocks("report.html");
        JsonElement learned = Series(blocks["anytime"], "learned").GetProperty("points")[0];
        double half = T1 * 0.1; // 0.6 and 0.8: the standard deviation is 0.1 √2
        learned.GetProperty("y").GetDouble().Should().BeApproximately(0.7, 1e-9);
        learned.GetProperty("low").GetDouble().Should().BeApproximately(0.7 - half, 1e-6);
        learned.GetProperty("high").GetDouble().Should().BeApproximately(0.7 + half, 1e-6);
        Rows(blocks["summary-1"]).Should().BeEquivalentTo(
            new string[][] { ["plain", "2", "65.00 ± 9.00", "60.00 ± 9.00", ""],
                ["learned", "2", "80.50 ± 9.00", "75.00 ± 9.00", "70.00 ± 9.00"] }, options => options.WithStrictOrdering());
        Rows(blocks["comparison-1"])[0].Should()
            .Equal("learned", "plain", "last exit, %", "+15.50", "+13.50", "+17.50", "< 0.001", "0.030", "0.060", "2 and 2");
        Rows(blocks["comparison-1"])[1][2..6].Should().Equal("mean over exits, %", "−1.00", "−3.00", "+1.00");
        Rows(blocks["comparison-1"])[2][2..6].Should().Equal("mean over budgets, %", "0.00", "−2.00", "+2.00");
        View(blocks["gains-1"], 0).GetProperty("labels")[0].GetString().Should().Be("last exit");
        View(blocks["gains-1"], 0).GetProperty("categories")[0].GetString().Should().Be("learned");
        JsonElement gain = Series(blocks["gains-1"], "gain").GetProperty("points")[0];
        gain.GetProperty("y").GetDouble().Should().BeApproximately(15.5, 1e-9, "percentage points");
        gain.GetProperty("low").GetDouble().Should().BeApproximately(10.5, 1e-9);
        gain.GetProperty("high").GetDouble().Should().BeApproximately(20.5, 1e-9);
        Rows(blocks["sweep-runs-1"]).Should().ContainSingle().Which.Should().Equal("wide", "0", "failed", "imta: out of memory");
        Rows(blocks["all-means-1"]).Should().HaveCount(7);
        Rows(blocks["differences"]).Should().ContainSingle("names are no settings").Which.Should().Equal("meta.enabled", "false", "true");
        Rows(blocks["runs"]).Should().HaveCount(4);
    }

    [Fact]
    public void An_unfinished_run_shows_its_training_and_says_why_the_rest_is_missing()
    {
        _runs.Unfinished("young", "young");
        _runs.Finished("old", "old");

        _runs.Report(0, "young", "--out", "alone.html");
        _runs.Report(0, "young", "old", "--out", "both.html");

        Dictionary<string, JsonElement> alone = _runs.Blocks("alone.html"), both = _runs.Blocks("both.html");
        alone["anytime"].GetProperty("text").GetString().Should().Contain("anytime.csv").And.Contain("at its end");
        Kind(alone["validation-accuracy"]).Should().Be("figure");
        Kind(alone["weights-loss"]).Should().Be("figure");
        both["anytime"].GetProperty("missing").GetString().Should().Contain("anytime.csv").And.EndWith(": young, seed 0.");
        View(both["anytime"], 0).GetProperty("series").GetArrayLength().Should().Be(1);
        Rows(both["runs"]).Select(row => row[3]).Should().Equal("2, unfinished", "2");
    }

    [Fact]
    public void Runs_of_one_name_and_seed_are_told_apart_by_their_folders()
    {
        _runs.Finished("a");
        _runs.Finished("b");
        _runs.Finished("c", seed: 1);

        _runs.Report(0, "a", "b", "c");

        View(_runs.Blocks("report.html")["anytime"], 0).GetProperty("series").EnumerateArray()
            .Select(series => series.GetProperty("name").GetString())
            .Should().Equal("study, seed 0 (a)", "study, seed 0 (b)", "study, seed 1");
    }

    [Fact]
    public void Points_from_elsewhere_stand_beside_the_budgets_a_series_a_name()
    {
        _runs.Finished("a");
        File.WriteAllText(
            _runs.In("nets.csv"),
            "name,macs,accuracy,parameters\nResNet,69000000,0.93,460000\nDenseNet,20000000,0.9,\nResNet,41000000,0.92,270000\n");
        File.WriteAllText(_runs.In("more.csv"), "accuracy,name,macs\n0.5,\"study, seed 0\",1000\n");

        _runs.Report(0, "a", "--points", "nets.csv", "--points", "more.csv");

        JsonElement budgeted = _runs.Blocks("report.html")["budgeted"];
        View(budgeted, 0).GetProperty("series").EnumerateArray().Select(series => series.GetProperty("name").GetString())
            .Should().Equal("study, seed 0", "ResNet", "DenseNet", "study, seed 0 (given)");
        Points(Series(budgeted, "ResNet")).Should().Equal((41e6, 0.92), (69e6, 0.93));
        Series(budgeted, "ResNet").GetProperty("points")[0].GetProperty("label").GetString().Should().Be("270,000 parameters");
    }

    [Fact]
    public void The_same_runs_give_the_same_bytes()
    {
        _runs.Sweep("study");
        _runs.Finished("a");

        _runs.Report(0, "study", "a", "--out", "one.html", "--svg", "one");
        _runs.Report(0, "study", "a", "--out", "two.html", "--svg", "two");

        File.ReadAllBytes(_runs.In("two.html")).Should().Equal(File.ReadAllBytes(_runs.In("one.html")));
        string[] charts = [.. Directory.GetFiles(_runs.In("one")).Select(file => Path.GetFileName(file)!)];
        Directory.GetFiles(_runs.In("two")).Select(Path.GetFileName).Should().BeEquivalentTo(charts);
        charts.Should().OnlyContain(chart => File.ReadAllText(_runs.In("one", chart)) == File.ReadAllText(_runs.In("two", chart)));
    }

    [Fact]
    public void A_page_holds_ECharts_with_its_notices_and_nothing_else_of_its_package()
    {
        _runs.Finished("a");

        _runs.Report(0, "a");

        File.ReadAllText(_runs.In("report.html")).Should()
            .ContainAll(
                "t.version=\"6.0.0\"", "Copyright 2017-2025 The Apache Software Foundation", "Copyright (c) 2017, Baidu Inc.",
                "Copyright 2010-2016 Mike Bostock")
            .And.NotContainAny("ecStat", "vizorECharts");
    }

    [Fact]
    public void Svg_files_are_the_charts_with_a_mark_for_each_point()
    {
        _runs.Sweep("study");
        _runs.Finished("a", "alone");

        _runs.Report(0, "study", "a", "--svg", "charts").Output.Should().Contain(" charts written to charts");

        Dictionary<string, XElement> charts = Directory.GetFiles(_runs.In("charts"))
            .ToDictionary(file => Path.GetFileName(file)!, file => XDocument.Load(file).Root!);
        charts.Keys.Should()
            .Contain(
                [
                    "anytime.svg", "budgeted.svg", "train-loss-last-exit.svg", "classes-exit-2.svg", "shares-alone-seed-0.svg",
                    "ranks-learned-exit-1-and-exit-3.svg"
                ]);
        charts.Values.Should().OnlyContain(chart => chart.Name.LocalName == "svg");
        Marks(charts["anytime.svg"]).Should().Equal(WrittenRuns.Exits, WrittenRuns.Exits, WrittenRuns.Exits);
        Marks(charts["budgeted.svg"]).Should().Equal(4, 4, 4);
        Marks(charts["shares-alone-seed-0.svg"]).Should().Equal(4, 4, 4);
        Marks(charts["ranks-learned-exit-1-and-exit-3.svg"]).Should().Equal(WrittenRuns.TestImages);
        charts["anytime.svg"].Descendants().Where(element => element.Name.LocalName == "text").Select(text => text.Value)
            .Should().Contain(["Accuracy per exit", "plain", "learned", "alone, seed 0", "multiply-adds per image", "test accuracy, %"]);
    }

    [Fact]
    public void Names_in_files_are_text_wherever_they_stand()
    {
        const string Hostile = "</script><script>alert(1)</script>\u2028<img src=x onerror=alert(1)>";
        _runs.Finished("a", $"'{Hostile}'");
        string classes = File.ReadAllText(_runs.In("a", "classes.csv"));
        File.WriteAllText(_runs.In("a", "classes.csv"), classes.Replace("cat", Hostile, StringComparison.Ordinal));
        File.WriteAllText(_runs.In("nets.csv"), $"name,macs,accuracy\n{Hostile},1000,0.5\n");

        _runs.Report(0, "a", "--points", "nets.csv", "--svg", "charts");

        string page = File.ReadAllText(_runs.In("report.html"));
        page.Split("</script>").Length.Should().Be(9, "there are eight scripts: notices, data, ECharts, and ours");
        page.Split("<script").Length.Should().Be(9);
        page.Contains("<img src=x", StringComparison.OrdinalIgnoreCase).Should().BeFalse();
        View(_runs.Blocks("report.html")["classes"], 0).GetProperty("categories")[2].GetString().Should().Be(Hostile);
        Directory.GetFiles(_runs.In("charts")).Select(file => XDocument.Load(file)).Should()
            .OnlyContain(
                chart => chart.Descendants().All(element => element.Name.LocalName != "script" && element.Name.LocalName != "img"));
    }

    [Theory]
    [InlineData("nothing does not exist; give run or sweep folders", "nothing")]
    [InlineData("@none does not exist; give run or sweep folders", "@none")] // no file of more arguments
    [InlineData("RUN|SWEEP is empty", "")]
    [InlineData("none has no runs yet; continue it with imta sweep", "none")]
    [InlineData("neither a run (config.yaml) nor a sweep", "weights")]
    [InlineData("./sound/ is given twice", "sound", "./sound/")]
    [InlineData("run/anytime.csv, line 3: top1 is 'high'", "run")]
    [InlineData("none.csv does not exist", "sound", "--points", "none.csv")]
    [InlineData("percent.csv, point 2: accuracy is 93; expected a fraction, such as 0.93 for 93 %", "sound", "--points", "percent.csv")]
    [InlineData("it has no column macs", "sound", "--points", "columns.csv")]
    [InlineData("empty.csv contains no points", "sound", "--points", "empty.csv")]
    [InlineData("taken.html already exists", "sound", "--out", "taken.html")]
    [InlineData("no/where/report.html cannot be written", "sound", "--out", "no/where/report.html")]
    [InlineData("weights is not empty", "sound", "--svg", "weights")]
    [InlineData("taken.html cannot be written", "sound", "--svg", "taken.html")]
    [InlineData("Unknown option --pionts", "sound", "--pionts", "x.csv")]
    [InlineData("--svg cannot be combined with --watch", "sound", "--watch", "--svg", "charts")]
    [InlineData("run/anytime.csv, line 3: top1 is 'high'", "run", "--watch")]
    public void Wrong_input_is_one_line_and_leaves_nothing(string said, params string[] arguments)
    {
        _runs.Finished("run");
        _runs.Finished("sound");
        string[] lines = File.ReadAllLines(_runs.In("run", "anytime.csv"));
        File.WriteAllLines(
            _runs.In("run", "anytime.csv"), [.. lines[..2], lines[2].Replace("0.65", "high", StringComparison.Ordinal), lines[3]]);
        File.WriteAllText(_runs.In("percent.csv"), "name,macs,accuracy\nA,1000,0.93\nA,2000,93\n");
        File.WriteAllText(_runs.In("columns.csv"), "name,accuracy\nA,0.93\n");
        File.WriteAllText(_runs.In("empty.csv"), "name,macs,accuracy\n");
        File.WriteAllText(_runs.In("taken.html"), "mine");
        Directory.CreateDirectory(_runs.In("none"));
        File.WriteAllText(_runs.In("none", "sweep.yaml"), "");
        Directory.CreateDirectory(_runs.In("weights", "more"));
        string[] before = RunFiles.Names(_runs.Path);

        ImtaProcess.Result result = _runs.Report(2, arguments);

        result.Output.Should().BeEmpty();
        result.Error.TrimEnd().Split('\n').Should().ContainSingle().Which.Should().StartWith("imta: ").And.Contain(said);
        RunFiles.Names(_runs.Path).Should().BeEquivalentTo(before);
        File.ReadAllText(_runs.In("taken.html")).Should().Be("mine");
    }

    /// <summary>Tables that somebody edited, or copied in part.</summary>
    [Theory]
    [InlineData("anytime.csv", "0.65", "1.65", "row 2: top1 is 1.65; expected a fraction from 0 to 1")]
    [InlineData("anytime.csv", "0.65", "NaN", "row 2: top1 is NaN; expected a fraction from 0 to 1")]
    [InlineData("anytime.csv", "2,0.65.*\n", "", "is incomplete: it has 0 of 1 rows for exit 2; copy the complete file, or write it again")]
    [InlineData("anytime.csv", "[^\n]*\n$", "", "is incomplete: it has 0 of 1 rows for exit 3; ")]
    [InlineData("anytime.csv", "\n(.|\n)*", "\n", "is incomplete: it has 0 of 1 rows for exit 1; ")]
    [InlineData("anytime.csv", "1,0.6.*\n", "$0$0", "is incomplete: it has 1 of 2 rows for exit 2; ")]
    [InlineData("dynamic.csv", "[^\n]*\n$", "", "is incomplete: it has 3 of 4 rows for exit 3; ")]
    [InlineData("predictions.csv", "(?m)^test,0,.*\n", "", null)] // whole images may be taken away
    [InlineData("predictions.csv", "(?m)^test,5,", "test,4,", " is incomplete: test image 4 does not have one row per exit; copy the ")]
    [InlineData("environment.json", "^", "{", "is not a file written by imta train (line 1 is not valid JSON); restore")]
    [InlineData("environment.json", "(?s).*", "[]", "is not a file written by imta train (it is not a JSON object); restore")]
    public void A_table_that_was_edited_is_refused_by_what_is_wrong_in_it(string file, string pattern, string instead, string? problem)
    {
        _runs.Finished("run");
        CsvTable.Write(_runs.In("run", "cost.csv"), Enumerable.Range(1, WrittenRuns.Exits).Select(exit
            => new CostRow { Exit = exit, Macs = 1000 * exit, MacsShare = 1, Parameters = 10 }));
        string text = File.ReadAllText(_runs.In("run", file)), edited = new Regex(pattern).Replace(text, instead, file[0] == 'p' ? 99 : 1);
        edited.Should().NotBe(text);
        File.WriteAllText(_runs.In("run", file), edited);

        ImtaProcess.Result result = _runs.Report(problem is null ? 0 : 2, "run");

        if (problem is not null)
        {
            result.Error.TrimEnd().Split('\n').Should().ContainSingle().Which.Should().StartWith($"imta: run/{file}").And.Contain(problem);
        }
    }

    [Fact]
    public void Points_in_another_encoding_than_UTF8_are_refused()
    {
        _runs.Finished("run");
        File.WriteAllText(_runs.In("latin.csv"), "name,macs,accuracy\nResNet,1000,0.9\nÉtude,1000,0.9\n", System.Text.Encoding.Latin1);

        _runs.Report(2, "run", "--points", "latin.csv").Error.Should()
            .Be("imta: latin.csv, point 2: its name, \uFFFDtude, is not UTF-8 text; save the file as UTF-8\n");
    }

    [Fact]
    public void Force_replaces_an_earlier_report()
    {
        _runs.Finished("a");
        File.WriteAllText(_runs.In("report.html"), "mine");

        _runs.Report(0, "a", "--force");

        File.ReadAllText(_runs.In("report.html")).Should()
            .StartWith("<!DOCTYPE html>").And.EndWith("</html>\n").And.Contain("Licensed to the Apache Software Foundation");
    }

    public void Dispose() => _runs.Dispose();

    private static string? Kind(JsonElement block) => block.GetProperty("block").GetString();

    private static JsonElement View(JsonElement figure, int at) => figure.GetProperty("views")[at];

    /// <summary>A series of a figure's first view.</summary>
    private static JsonElement Series(JsonElement figure, string name)
        => View(figure, 0).GetProperty("series").EnumerateArray().Single(series => series.GetProperty("name").GetString() == name);

    private static (double X, double Y)[] Points(JsonElement series)
        =>
        [
            .. series.GetProperty("points").EnumerateArray()
                .Select(point => (point.GetProperty("x").GetDouble(), point.GetProperty("y").GetDouble())),
        ];

    private static string[][] Rows(JsonElement table)
        => [.. table.GetProperty("rows").EnumerateArray().Select(row => row.EnumerateArray().Select(cell => cell.GetString()!).ToArray())];

    /// <summary>Numbers of points or bars in each series that has some.</summary>
    private static IEnumerable<int> Marks(XElement chart) => chart.Descendants()
        .Where(
            element
                => element.Attribute("ecmeta_ssr_type")?.Value == "chart" && element.Attribute("ecmeta_data_index") is not null
                    && element.Attribute("ecmeta_silent") is null)
        .GroupBy(element => int.Parse(element.Attribute("ecmeta_series_index")!.Value, System.Globalization.CultureInfo.InvariantCulture))
            .OrderBy(series => series.Key)
        .Select(series => series.Select(element => element.Attribute("ecmeta_data_index")!.Value).Distinct().Count());

    private static bool Close((double X, double Y) a, (double X, double Y) b) => Close(a.X, b.X) && Close(a.Y, b.Y);

    private static bool Close(double a, double b) => Math.Abs(a - b) < 1e-6;
}

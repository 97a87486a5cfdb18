using System.Text.Json;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Tests.Experiments.Reports;

/// <summary>What a report finds in a run's answers to single images, and its tables of numbers.</summary>
public sealed class ReportAnswersTests : IDisposable
{
    /// <summary>Label, the answers of two exits and how sure the first is: the second is sure of all.</summary>
    private static readonly (long Label, long First, long Second, float Sure)[] Images =
        [(0, 0, 0, 0.9f), (0, 0, 1, 0.9f), (1, 0, 1, 0.4f), (1, 0, 0, 0.4f), (2, 2, 2, 0.4f)];

    private readonly WrittenRuns _runs = new();

    [Fact]
    public void Reliability_is_the_accuracy_in_bins_of_confidence()
    {
        View view = Views("reliability")[0];

        view.Series.Select(series => series.Name).Should().Equal("exit 1, ECE 8.0 %", "exit 2, ECE 35.0 %", "calibrated");
        view.Series[0].Points.SelectMany(point => new[] { point.X, point.Y }).Should().Equal([0.4, 1 / 3.0, 0.9, 1], Close);
        view.Series[0].Points.Select(point => point.Label).Should().Equal("3 images", "2 images");
    }

    [Fact]
    public void A_confusion_matrix_counts_the_answers_to_each_class()
    {
        View[] views = Views("confusion");

        views.Select(view => view.Labels[1]).Should().Equal("exit 2", "exit 1");
        views[0].Categories.Should().Equal("cat", "dog", "ship");
        views[0].Series[0].Counts.Should().BeEquivalentTo(
            new int[][] { [1, 1, 0], [1, 1, 0], [0, 0, 1] }, options => options.WithStrictOrdering());
        views[1].Series[0].Counts.Should().BeEquivalentTo(
            new int[][] { [2, 0, 0], [2, 0, 0], [0, 0, 1] }, options => options.WithStrictOrdering());
    }

    [Fact]
    public void A_confusion_matrix_of_many_classes_has_those_that_are_confused_most()
    {
        View[] views = Views("confusion", [.. Enumerable.Range(0, 30).Select(k => ((long)k, (long)k, k < 28 ? k : 57L - k, 0.5f))]);

        views[0].Categories.Should().HaveCount(20).And.StartWith("cat").And.EndWith(["28", "29"], "the last exit confuses them");
        views[0].Series[0].Counts.Should().HaveCount(20).And.OnlyContain(row => row.Sum() == 1);
    }

    [Fact]
    public void Difficulty_is_the_first_right_exit_by_the_exit_where_an_image_leaves()
    {
        View view = Views("difficulty")[0];

        view.Labels[1].Should().Be("p = 1, q = 0.05");
        view.Series.Select(series => series.Name).Should()
            .Equal("exit 1 is the first that is correct", "exit 2 is the first that is correct", "no exit is correct");
        Shares(left: 0).Should().Equal([1.0, 0, 0], Close);
        Shares(left: 1).Should().Equal([1 / 3.0, 1 / 3.0, 1 / 3.0], Close);

        IEnumerable<double> Shares(int left) => view.Series.Select(series => series.Points[left].Y);
    }

    [Fact]
    public void Results_are_the_tables_numbers_and_of_seeds_the_means()
    {
        _runs.Finished("a", "alone");
        _runs.Sweep("s");

        _runs.Report(0, "a", "s");

        Dictionary<string, JsonElement> blocks = _runs.Blocks("report.html");
        string[][] exits = Rows(blocks["results"]);
        exits.Should().HaveCount(3 * WrittenRuns.Exits);
        exits[1].Should().Equal("alone, seed 0", "2", "2,000,000", "2,000", "65.00", "95.00", "0.500", "10.00", "10.00", "90.00");
        exits[3][4].Should().Be("55.00 ± 63.53", "of 50 and 60");
        Rows(blocks["budgets"]).Should().HaveCount(3).And.Subject.First().Should()
            .Equal("alone, seed 0", "1", "0.05", "1,100,000", "61.00");
        Rows(blocks["timing"])[0].Should().Equal("alone, seed 0", "2", "0.6", "15.0", "2.0", "450", "200");
    }

    [Fact]
    public void Going_deeper_is_one_chart_of_a_run_and_a_choice_of_charts_for_more()
    {
        _runs.Finished("a", "one");
        _runs.Finished("b", "two");

        _runs.Report(0, "a", "--out", "one.html");
        _runs.Report(0, "a", "b", "--out", "two.html");

        View[] one = ViewsOf("one.html", "overthinking"), two = ViewsOf("two.html", "overthinking");
        one.Should().ContainSingle().Which.Series.Select(series => series.Name).Should()
            .Equal("accuracy", "oracle", "overthinking", "premature");
        one[0].Series[1].Points.Select(point => point.Y).Should().Equal([0.9, 0.9, 0.9], Close);
        two.Select(view => view.Labels[0]).Should().Equal("accuracy", "oracle", "overthinking", "premature");
    }

    [Fact]
    public void Curves_of_many_long_runs_are_thinned_and_keep_their_ends()
    {
        for (int run = 0; run < 8; run++)
        {
            _runs.Unfinished($"run-{run}", $"run-{run}", epochs: 900);
        }

        _runs.Report(0, [.. Enumerable.Range(0, 8).Select(run => $"run-{run}")]);

        View[] views = ViewsOf("report.html", "train-loss");
        views.Sum(view => view.Series.Sum(series => series.Points.Length)).Should().BeLessThan(20_100);
        views.Should().OnlyContain(view => view.Remark == "every 2 epochs, and the last");
        views.SelectMany(view => view.Series).Select(curve => (curve.Points[0].X, curve.Points[^1].X)).Should().AllBeEquivalentTo((1, 900));
    }

    public void Dispose() => _runs.Dispose();

    private View[] Views(string figure) => Views(figure, Images);

    private View[] Views(string figure, (long Label, long First, long Second, float Sure)[] images)
    {
        _runs.Finished("a");
        var files = new EvaluationFiles(_runs.In("a"));
        CsvTable.Write(files.Predictions, images.SelectMany((image, k) => new[]
        {
            Row(k, image.Label, 1, image.First, image.Sure), Row(k, image.Label, 2, image.Second, 0.95f),
        }));
        CsvTable.Write(files.Dynamic, CsvTable.Read<DynamicRow>(files.Dynamic).Where(row => row.Exit <= 2 && row.P == 1));
        _runs.Report(0, "a");
        return ViewsOf("report.html", figure);
    }

    private View[] ViewsOf(string page, string figure)
        => _runs.Blocks(page)[figure].GetProperty("views").Deserialize<View[]>(JsonSerializerOptions.Web)!;

    private static PredictionRow Row(int image, long label, int exit, long answer, float confidence) => new()
    {
        Split = "test",
        Sample = image,
        Label = label,
        Exit = exit,
        Prediction = answer,
        Confidence = confidence,
    };

    private static string[][] Rows(JsonElement table) => table.GetProperty("rows").Deserialize<string[][]>()!;

    private static bool Close(double a, double b) => Math.Abs(a - b) < 1e-6;

    private sealed record View(Series[] Series, string[] Labels, string[] Categories, string? Remark);

    private sealed record Series(string Name, Point[] Points, int[][] Counts);

    private sealed record Point(double X, double Y, string? Label);
}

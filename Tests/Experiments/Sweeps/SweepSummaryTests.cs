using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Sweeps;
using Values = System.Collections.Generic.Dictionary<Imta.MetaWeight.Experiments.Sweeps.MetricKey, double>;

namespace Imta.MetaWeight.Tests.Experiments.Sweeps;

/// <summary>Statistics over seeds, against numbers of the statistics program R.</summary>
public sealed class SweepSummaryTests
{
    private static readonly MetricKey Top1 = new("top1", Exit: 1);

    // Student's sleep data (1908), which come with R.
    private static readonly double[] First = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
    private static readonly double[] Second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];

    /// <summary>R: t.test(extra ~ group, data = sleep), and the same with paired = TRUE.</summary>
    [Fact]
    public void Tests_are_Welchs_and_Students_of_pairs()
    {
        ComparisonRow row = SweepSummary.Comparison(
            [("first", Runs(First)), ("second", Runs(Second))], new Dictionary<string, string> { ["first"] = "second" })
            .Should()
            .ContainSingle().Which;

        row.WelchT.Should().BeApproximately(-1.8608, 5e-5);
        row.WelchDf.Should().BeApproximately(17.776, 5e-4);
        row.WelchP.Should().BeApproximately(0.07939, 5e-6);
        (row.Low!.Value, row.High!.Value)
            .Should().Match<(double Low, double High)>(
                interval => Math.Abs(interval.Low + 3.3654832) < 1e-6 && Math.Abs(interval.High - 0.2054832) < 1e-6);
        row.Difference.Should().BeApproximately(-1.58, 1e-12);
        row.PairedT.Should().BeApproximately(-4.0621, 5e-5);
        row.PairedP.Should().BeApproximately(0.002833, 5e-7);
        row.PairedLow.Should().BeApproximately(-2.4598858, 1e-7);
        row.PairedHigh.Should().BeApproximately(-0.7001142, 1e-7);
        row.PairedHolm.Should().Be(row.PairedP, "it is alone in its family");
        (row.N, row.BaselineN, row.PairedN).Should().Be((10, 10, 10));
    }

    /// <summary>R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm").</summary>
    [Fact]
    public void P_values_of_a_family_are_adjusted_by_Holms_method()
    {
        SweepSummary.Holm([0.01, 0.04, 0.03, 0.005]).Should()
            .Equal([0.03, 0.06, 0.06, 0.02], (one, other) => Math.Abs(one - other) < 1e-12);
        SweepSummary.Holm([0.6, 0.7]).Should().Equal(1, 1);
        SweepSummary.Holm([]).Should().BeEmpty();
        ComparisonRow[] rows =
        [
            .. SweepSummary.Comparison(
                [("a", Runs(First)), ("b", Runs(Second)), ("c", Runs([.. Second.Reverse()]))],
                new Dictionary<string, string> { ["a"] = "b", ["c"] = "b" }),
        ];
        rows.Select(row => row.PairedHolm).Should().Equal(SweepSummary.Holm([.. rows.Select(row => row.PairedP!.Value)]).Cast<double?>());

        MetricKey deeper = new("top1", Exit: 2);
        Dictionary<int, Values> own = new() { [1] = new() { [Top1] = 5, [deeper] = 2 }, [2] = new() { [Top1] = 7.5, [deeper] = 5 } };
        Dictionary<int, Values> other = new() { [1] = new() { [Top1] = 1, [deeper] = 1 }, [2] = new() { [Top1] = 2, [deeper] = 3 } };
        SweepSummary.Comparison([("own", own), ("other", other)], new Dictionary<string, string> { ["own"] = "other" }).Should()
            .HaveCount(2).And.OnlyContain(row => row.PairedP != null && row.PairedHolm == row.PairedP, "each quantity is a family");
    }

    [Fact]
    public void The_area_below_the_budgets_is_the_mean_over_costs()
    {
        SweepSummary.BudgetArea([(10, 0.4), (20, 0.9), (30, 0.6)], []).Should().BeApproximately(0.5, 1e-12);
        SweepSummary.BudgetArea([(10, 0.4), (30, 0.6)], [(25, 0.6), (5, 0), (15, 0.6), (40, 1)]).Should()
            .BeApproximately(((5 * 0.5) + (15 * 0.6)) / 20, 1e-12, "points beside the exits' costs do not count");
    }

    /// <summary>R: t.test(c(0.7, -1.6, ..., 2.0)).</summary>
    [Fact]
    public void Intervals_are_Students()
    {
        SummaryRow row = SweepSummary.Summary([("first", Runs(First))]).Should().ContainSingle().Which;

        (row.N, row.Metric, row.Exit).Should().Be((10, "top1", 1));
        row.Mean.Should().BeApproximately(0.75, 1e-12);
        row.Std.Should().BeApproximately(1.78901, 5e-6);
        row.Low.Should().BeApproximately(-0.5297804, 1e-7);
        row.High.Should().BeApproximately(2.0297804, 1e-7);
    }

    [Fact]
    public void Too_few_runs_and_equal_ones_have_no_tests()
    {
        SweepSummary.Summary([("one", Runs(3))]).Single().Should()
            .Match<SummaryRow>(row => row.N == 1 && row.Mean == 3 && row.Std == null && row.Low == null && row.High == null);
        var variants = new (string, IReadOnlyDictionary<int, Values>)[] { ("one", Runs(3)), ("equal", Runs(2, 2)), ("alike", Runs(1, 1)),
            ("none", Runs()) };
        var of = new Dictionary<string, string> { ["one"] = "equal", ["alike"] = "equal", ["none"] = "equal" };

        ComparisonRow[] rows = [.. SweepSummary.Comparison(variants, of)];

        rows.Select(row => (row.Variant, row.Difference, row.PairedN)).Should().Equal(("one", 1, 1), ("alike", -1, 2));
        rows.Should()
            .OnlyContain(row => row.WelchT == null && row.WelchP == null && row.PairedT == null && row.PairedP == null && row.Low == null);
        ComparisonRow shares = SweepSummary.Comparison(
            [("own", Runs(0.3, 0.4)), ("other", Runs(0.2, 0.3))], new Dictionary<string, string> { ["own"] = "other" })
            .Single();
        shares.PairedT.Should().BeNull("the differences are equal but for their last bits");
        shares.WelchT.Should().NotBeNull();
    }

    [Fact]
    public void Pairs_are_of_one_seed()
    {
        var own = new Dictionary<int, Values> { [1] = Of(5), [2] = Of(7), [4] = Of(100) };
        var other = new Dictionary<int, Values> { [2] = Of(3), [1] = Of(4), [3] = Of(-100) };

        ComparisonRow row = SweepSummary.Comparison([("own", own), ("other", other)], new Dictionary<string, string> { ["own"] = "other" })
            .Single();

        row.PairedN.Should().Be(2);
        row.PairedT.Should().BeApproximately(2.5 / 1.5, 1e-12, "the differences are 1 and 4");
    }

    [Fact]
    public void Exchanging_the_sides_changes_signs_alone()
        => Prop.ForAll(Arb.From(Samples()), Arb.From(Samples()), (one, other) =>
        {
            var there = SweepSummary.Welch(one, other);
            var back = SweepSummary.Welch(other, one);
            (there is null).Should().Be(back is null);
            if (there is not null && back is not null)
            {
                (back.T, back.DegreesOfFreedom, back.Low, back.High).Should()
                    .Be((-there.T, there.DegreesOfFreedom, -there.High, -there.Low));
                back.P.Should().BeApproximately(there.P, 1e-12).And.BeInRange(0, 1);
                (there.Low < 0 && there.High > 0).Should().Be(there.P > 0.05, "the interval and the test say the same");
            }
        }).Hold();

    private static Gen<double[]> Samples()
        => Gen.Choose(1, 8).SelectMany(count => Gen.Choose(-1000, 1000).Select(value => value / 7.0).ArrayOf(count));

    private static Values Of(double value) => new() { [Top1] = value };

    private static Dictionary<int, Values> Runs(params double[] values)
        => values.Select((value, seed) => (seed, value)).ToDictionary(run => run.seed, run => Of(run.value));
}

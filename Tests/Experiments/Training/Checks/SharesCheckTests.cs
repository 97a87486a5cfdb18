using System.Globalization;
using System.Text.RegularExpressions;
using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Training.Checks;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Tests.Experiments.Training.Checks;

public sealed class SharesCheckTests
{
    /// <summary>N images, K exits, q and a batch.</summary>
    public sealed record Case(int Images, int Exits, double Q, int Batch);

    private static readonly Gen<Case> Cases =
        from images in Gen.Choose(8, 400)
        from exits in Gen.Choose(1, 9)
        from p in Gen.Choose(1, 60)
        from batch in Gen.Choose(4, 64)
        select new Case(images, exits, p / 20.0, batch);

    [Fact]
    public void It_stops_just_where_an_exit_gets_no_meta_sample_of_the_larger_half() => Prop.ForAll(Arb.From(Cases), c =>
    {
        int half = (Math.Min(c.Batch, c.Images) + 1) / 2;
        bool without = ExitShares.Quotas(ExitShares.FromQ(c.Q, c.Exits), half).Contains(0);

        Findings(c).Select(finding => finding.Severity).Should().Equal(without ? [Severity.Error] : []);
    }).Hold();

    [Fact]
    public void What_it_advises_gives_every_exit_a_meta_sample() => Prop.ForAll(Arb.From(Cases), c =>
    {
        foreach (CheckFinding finding in Findings(c))
        {
            if (Advised(finding, "train.batch") is { } batch)
            {
                Findings(c with { Batch = (int)batch }).Should().BeEmpty();
            }

            if (Advised(finding, "meta.q") is { } q)
            {
                Findings(c with { Q = q }).Should().BeEmpty();
                Math.Abs(q - 1).Should().BeLessThan(Math.Abs(c.Q - 1));
            }
        }
    }).Hold();

    [Theory]
    [InlineData(0.75, 5, 8, "exit 2, 3, 4 of 5 (meta.q 0.75)", "set train.batch to 16 or more")] // 4 samples are too few for 5 exits
    [InlineData(0.5, 5, 16, "exit 4 of 5 (meta.q 0.5)", "set train.batch to 32 or more, or meta.q to 0.71")]
    [InlineData(1.5, 3, 8, "exit 1 of 3 (meta.q 1.5)", "set train.batch to 10 or more, or meta.q to 1.3")]
    public void The_line_names_exits_batch_and_q(double q, int exits, int batch, string what, string fix)
    {
        CheckFinding finding = Findings(new Case(900, exits, q, batch)).Should().ContainSingle().Subject;

        finding.Problem.Should().EndWith(what);
        finding.Fix.Should().Be(fix);
    }

    [Fact]
    public void Plain_training_and_the_vanilla_objective_need_no_shares()
    {
        var settings = new Settings { Train = new() { Batch = 4 } };

        SharesCheck.Findings(900, 5, settings).Should().ContainSingle();
        SharesCheck.Findings(900, 5, settings with { Meta = new MetaSettings { Enabled = false } }).Should().BeEmpty();
        SharesCheck.Findings(900, 5, settings with { Meta = new MetaSettings { Objective = MetaObjectiveKind.Vanilla } })
            .Should().BeEmpty();
    }

    [Theory]
    [InlineData("fixed")]
    [InlineData("allocated")]
    public void A_rule_that_allocates_training_samples_needs_some_for_each_exit(string weights)
    {
        MetaSettings meta = new() { Source = MetaSource.HeldOut, Objective = MetaObjectiveKind.Vanilla };
        var settings = new Settings { Train = new() { Batch = 4 }, Meta = meta with { Weights = meta.Weights.Choose(weights) } };

        CheckFinding finding = SharesCheck.Findings(900, 5, settings).Should().ContainSingle().Subject;

        finding.Problem.Should().StartWith("none of the 2 training samples of half a batch are allocated to exit");
        finding.Fix.Should().NotContain("meta.objective");
        SharesCheck.Findings(900, 5, settings with { Meta = meta }).Should().BeEmpty("meta samples count at all exits");
    }

    private static double? Advised(CheckFinding finding, string key)
        => Regex.Match(finding.Fix, $@"{Regex.Escape(key)} to ([\d.]+)") is { Success: true } match
            ? double.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture)
            : null;

    private static CheckFinding[] Findings(Case c)
        =>
        [
            .. SharesCheck.Findings(
                c.Images, c.Exits, new Settings { Train = new() { Batch = c.Batch }, Meta = new MetaSettings { Q = c.Q } }),
        ];
}

using System.Globalization;
using System.Text.RegularExpressions;
using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Training.Checks;
using Imta.MetaWeight.Meta.Optimisers;

namespace Imta.MetaWeight.Tests.Experiments.Training.Checks;

public sealed class SplitsCheckTests
{
    [Fact]
    public void Enough_of_every_class_is_nothing_to_tell() => Findings([64, 64], [50, 50], [1, 1]).Should().BeEmpty();

    [Theory]
    [
        InlineData(
            new long[] { 200, 0 }, new long[] { 50, 50 }, new long[] { 10, 10 }, "1 of 2 classes has no training image (dog)",
            "data.trainLimit to at least 4 (now 3)")
    ]
    [
        InlineData(
            new long[] { 200, 200 }, new long[] { 0, 100 }, new long[] { 10, 10 }, "1 of 2 classes has no validation image (cat)",
            "data.trainLimit to at least 4")
    ]
    [
        InlineData(
            new long[] { 200, 200 }, new long[] { 50, 50 }, new long[] { 0, 0 }, "2 of 2 classes have no test image (cat, dog)",
            "data.testLimit to at least 2")
    ]
    public void A_class_without_images_stops(long[] train, long[] validation, long[] test, string what, string fix)
    {
        CheckFinding finding = Findings(train, validation, test, new DataOptions { TrainLimit = 3, TestLimit = 1 }).Should()
            .ContainSingle().Subject;

        finding.Severity.Should().Be(Severity.Error);
        finding.Problem.Should().Be(what);
        finding.Fix.Should().Contain(fix);
    }

    [Fact]
    public void Where_no_limit_is_to_blame_the_files_are()
        => Findings([200, 0], [50, 50], [10, 10]).Should().ContainSingle().Which.Fix.Should().Contain("files").And.NotContain("trainLimit");

    [Fact]
    public void Of_many_classes_the_first_are_named()
    {
        string[] names = [.. Enumerable.Range(0, 100).Select(i => $"c{i}")];
        long[] none = new long[100], enough = [.. Enumerable.Repeat(9L, 100)];

        SplitsCheck.Findings(new SplitCounts(names, enough, enough, none), new Settings { Train = new() { Batch = 64 } })
            .Should().ContainSingle().Which.Problem.Should().EndWith("(c0, c1, c2, c3, c4, ...)");
    }

    [Theory]
    [InlineData(64, "set train.batch to 32 or less")]
    [InlineData(65, "set train.batch to 30 or less")] // a last batch of one image is left out
    [InlineData(66, null)]
    [InlineData(128, null)]
    public void An_epoch_of_one_batch_is_told(int images, string? fix)
    {
        CheckFinding? finding = Findings([images - 2, 2], [50, 50], [1, 1]).SingleOrDefault();

        (finding?.Severity).Should().Be(fix is null ? null : Severity.Warning);
        finding?.Problem.Should().Be($"one batch per epoch ({images} training images, train.batch 64)");
        finding?.Fix.Should().StartWith(fix);
    }

    [Theory]
    [InlineData(99, true)]
    [InlineData(100, false)]
    public void A_validation_set_below_100_images_is_told(int images, bool told)
        => Findings([200, 200], [1, images - 1], [1, 1])
            .Any(finding => finding.Consequence.Contains("changes the accuracy by 1.0 percentage points", StringComparison.Ordinal))
            .Should()
            .Be(told);

    [Fact]
    public void What_it_advises_holds_out_enough() => Prop.ForAll(Arb.From(
        from classes in Gen.Choose(2, 50)
        from images in Gen.Choose(4 * classes, 5000)
        from requested in Gen.Choose(1, Math.Min(25_000, 99 * Splits.FullTrainingSetSize(DatasetKind.Generated) / images))
        select (classes, images, requested)),
        c =>
        {
            int held = Splits.ValidationSize(new DataOptions { Validation = c.requested }, c.images, c.classes);
            if (held >= 100)
            {
                return; // rounded up to whole classes
            }

            var data = new DataOptions { TrainLimit = c.images, Validation = c.requested };
            long[] train = [c.images - held, .. new long[c.classes - 1]], validation = [held, .. new long[c.classes - 1]];
            string fix = Findings(train, validation, train, data).Single(finding => finding.Problem == $"{held} validation images").Fix;
            if (Advised(fix, "data.validation") is { } hold)
            {
                Splits.ValidationSize(new DataOptions { Validation = hold }, c.images, c.classes).Should().BeGreaterThanOrEqualTo(100);
            }

            if (Advised(fix, "data.trainLimit") is { } limit)
            {
                Splits.ValidationSize(new DataOptions { Validation = c.requested }, limit, c.classes).Should().BeGreaterThanOrEqualTo(100);
            }
        }).Hold();

    private static int? Advised(string fix, string key)
        => Regex.Match(fix, $@"{key} to (\d+)") is { Success: true } match
            ? int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture)
            : null;

    private static CheckFinding[] Findings(long[] train, long[] validation, long[] test, DataOptions? data = null)
    {
        string[] names =
        [
            .. Enumerable.Range(0, train.Length).Select(label => label switch { 0 => "cat", 1 => "dog", _ => $"class {label}" }),
        ];
        var settings = new Settings { Data = data ?? new DataOptions(), Train = new() { Batch = 64 } };
        return [.. SplitsCheck.Findings(new SplitCounts(names, train, validation, test), settings)];
    }
}

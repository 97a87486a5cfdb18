using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Training.Checks;
using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Tests.Experiments.Training.Checks;

public sealed class BatchSizeCheckTests
{
    [Theory]
    [InlineData(100, 10)]
    [InlineData(104, 10)] // a last batch of 4
    [InlineData(109, 10)] // of 9: halves of 5 and 4
    [InlineData(8, 64)]
    public void Whole_batches_and_large_rests_are_nothing_to_tell(int images, int batch) => Findings(images, batch).Should().BeEmpty();

    [Theory]
    [InlineData(90, 9, "train.batch 9 is odd", "train.batch to 10")] // 90 = 11 · 8 + 2 would not do
    [InlineData(102, 10, "the last batch of an epoch has 2 images", "train.batch to 8")]
    [InlineData(103, 10, "the last batch of an epoch has 3 images", "train.batch to 8")]
    [InlineData(101, 10, "each epoch leaves out one image", "train.batch to 8")]
    [InlineData(3, 64, "the last batch of an epoch has 3 images", "more training images")]
    public void What_is_odd_is_told_with_a_batch_that_is_not(int images, int batch, string what, string fix)
    {
        CheckFinding finding = Findings(images, batch).Should().ContainSingle().Subject;

        finding.Severity.Should().Be(Severity.Warning);
        finding.Problem.Should().StartWith(what);
        finding.Fix.Should().EndWith(fix);
    }

    [Fact]
    public void An_odd_batch_with_a_small_rest_is_told_twice() => Findings(101, 9).Should().HaveCount(2);

    [Theory]
    [InlineData(102, 9, 0)] // no halves, a last batch of 3
    [InlineData(102, 10, 0)]
    [InlineData(101, 10, 1)]
    public void Plain_training_has_no_halves_but_leaves_out_a_last_image_too(int images, int batch, int findings)
        => Findings(images, batch, learns: false).Should().HaveCount(findings);

    [Theory]
    [InlineData(120, 24, null)]
    [InlineData(110, 22, "train.batch 22 cannot be divided evenly among the two halves of 3 processes")]
    [InlineData(128, 24, "the last batch of an epoch has 8 images")]
    [InlineData(125, 24, "each epoch leaves out 5 images, different ones each time")]
    public void Processes_take_equal_shares_of_both_halves(int images, int batch, string? what)
    {
        CheckFinding[] findings = Findings(images, batch, processes: 3);

        findings.Select(finding => finding.Problem[..Math.Min(finding.Problem.Length, what?.Length ?? 0)]).Should()
            .Equal(what is null ? [] : [what]);
        findings.Select(finding => int.Parse(finding.Fix.Split(' ')[^1], System.Globalization.CultureInfo.InvariantCulture))
            .All(advised => BatchSizes.DividesEvenly(images, advised, 3))
            .Should()
            .BeTrue();
    }

    private static CheckFinding[] Findings(int images, int batch, bool learns = true, int processes = 1)
        => [.. BatchSizeCheck.Findings(images,
            new Settings
            {
                Processes = processes,
                Train = new() { Batch = batch },
                Meta = new MetaSettings { Enabled = learns },
            })];
}

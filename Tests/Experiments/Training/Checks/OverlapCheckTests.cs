using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Training.Checks;
using Imta.MetaWeight.Tests.Experiments.Data;

namespace Imta.MetaWeight.Tests.Experiments.Training.Checks;

public sealed class OverlapCheckTests
{
    [Theory]
    [InlineData(0, null)]
    [InlineData(1, Severity.Warning)]
    [InlineData(99, Severity.Warning)]
    [InlineData(100, Severity.Error)]
    internal void From_one_percent_of_the_test_images_on_it_stops(int shared, Severity? severity)
    {
        CheckFinding[] findings = [.. OverlapCheck.Findings(new Overlap(shared, 0, shared, Test: 10_000, 0, Validation: 5000))];

        findings.Select(finding => (Severity?)finding.Severity).Should().Equal(severity is null ? [] : [severity]);
        findings.All(finding => finding.Problem.StartsWith($"{shared} of 10000 test images", StringComparison.Ordinal)).Should().BeTrue();
    }

    [Fact]
    public void Validation_images_that_are_trained_on_are_told()
    {
        CheckFinding finding = OverlapCheck.Findings(new Overlap(0, 0, 0, 100, ValidationInTraining: 3, Validation: 50)).Should()
            .ContainSingle().Subject;

        finding.Severity.Should().Be(Severity.Warning);
        finding.Problem.Should().Be("3 of 50 validation images are also training images");
        finding.Consequence.Should().Contain("by up to 6.00 percentage points");
    }

    [Theory]
    [InlineData(1, 50_000, "0.01 percentage points")]
    [InlineData(1, 3, "33.34 percentage points")]
    [InlineData(7, 100, "7.00 percentage points")]
    public void The_bound_of_the_gain_is_rounded_up(int known, int images, string bound)
        => OverlapCheck.Points(known, images).Should().Be(bound);

    [Fact]
    public void Images_are_compared_by_all_their_bytes()
    {
        // Images 0 … 9 train, 8 … 13 are held out, 6 … 9 and 12 … 19 test; the last one differs from image 0 in its last byte only.
        using ImageSet all = Images(20);
        const int Image = 3 * ImageSet.Side * ImageSet.Side;
        Span<byte> bytes = all.Images.bytes;
        bytes[..Image].CopyTo(bytes[^Image..]);
        bytes[^1]++;

        using var data = new RunData(
            all.Select(Rows(0, 10)), all.Select(Rows(8, 14)), Meta: null, all.Select([.. Rows(6, 10), .. Rows(12, 20)]),
            Normalisation.Generated, []);

        Overlap.Measure(data).Should()
            .Be(new Overlap(TestInTraining: 4, TestInValidation: 4, TestInEither: 6, Test: 12, ValidationInTraining: 2, Validation: 6));
    }

    [Fact]
    public void Cifar10_itself_has_no_image_twice()
    {
        string? root = Environment.GetEnvironmentVariable("IMTA_CIFAR10");
        Skip.If(string.IsNullOrEmpty(root), "IMTA_CIFAR10 names no folder with CIFAR-10's binary files");
        using RunData data = DataSetsTests.Load(new DataOptions { Dataset = DatasetKind.Cifar10, Root = root }, seed: 0);

        Overlap.Measure(data).Should().BeEquivalentTo(new { TestInEither = 0, ValidationInTraining = 0 });
    }

    private static long[] Rows(int from, int to) => [.. Enumerable.Range(from, to - from).Select(row => (long)row)];

    private static ImageSet Images(int count)
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(1);
        return new ImageSet(
            randint(0, 256, [count, 3, 32, 32], uint8, generator: random), zeros([count], int64),
            arange(Held(0), Held(count), One, int64), ["one"]);
    }
}

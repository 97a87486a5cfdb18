using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Losses;

namespace Imta.MetaWeight.Tests.Losses;

/// <summary>Laws of class weights; <c>class_balanced_weights.csv</c> holds the published numbers.</summary>
public sealed class ClassWeightsTests
{
    [Theory]
    [InlineData(ClassWeighting.None)]
    [InlineData(ClassWeighting.InverseFrequency)]
    [InlineData(ClassWeighting.EffectiveNumber)]
    public void The_mean_over_classes_with_images_is_1_and_rarer_classes_never_weigh_less(ClassWeighting type) => Prop.ForAll(
        Arb.From(Gen.Choose(0, 5000).NonEmptyListOf().Where(counts => counts.Any(count => count > 0))),
        counts =>
        {
            double[] weights = ClassWeights.Compute(new() { Type = type, Beta = 0.999 }, [.. counts.Select(count => (long)count)]);
            var present = counts.Zip(weights).Where(entry => entry.First > 0).OrderBy(entry => entry.First).Select(entry => entry.Second)
                .ToArray();
            present.Average().Should().BeApproximately(1, 1e-12);
            present.Should().BeInDescendingOrder();
            counts.Zip(weights).Where(entry => entry.First == 0).Sum(entry => entry.Second).Should().Be(0);
        }).Hold();

    [Fact]
    public void Inverse_frequencies_are_in_the_ratio_of_the_counts()
        => ClassWeights.Compute(new() { Type = ClassWeighting.InverseFrequency }, [100, 50, 25]).Should().Equal(3 / 7.0, 6 / 7.0, 12 / 7.0);

    [Fact]
    public void Beta_0_weighs_all_classes_alike_and_beta_near_1_by_inverse_frequency()
    {
        ClassWeights.Compute(new() { Type = ClassWeighting.EffectiveNumber, Beta = 0 }, [100, 10]).Should().Equal(1, 1);
        ClassWeights.Compute(new() { Type = ClassWeighting.EffectiveNumber, Beta = 1 - 1e-9 }, [100, 10])[1].Should()
            .BeApproximately(20 / 11.0, 1e-6);
    }

    [Theory]
    [InlineData(1.0)]
    [InlineData(-0.1)]
    public void Beta_outside_its_range_is_refused(double beta) => FluentActions
        .Invoking(() => ClassWeights.Compute(new() { Type = ClassWeighting.EffectiveNumber, Beta = beta }, [10, 20]))
        .Should().Throw<ArgumentOutOfRangeException>();
}

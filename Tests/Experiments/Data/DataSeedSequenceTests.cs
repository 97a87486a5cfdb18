using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Tests.Experiments.Data;

public sealed class DataSeedSequenceTests
{
    [Fact]
    public void Seeds_stay_what_they_are_so_that_runs_can_be_repeated()
    {
        // Computed apart from this code, from the documented hash.
        SeedSequence.Derive(0, SeedSequence.Order, 0).Should().Be(8271318967751542597UL);
        SeedSequence.Derive(1, SeedSequence.Augmentation, 2, 3).Should().Be(14772359937793395341UL);
        SeedSequence.Derive(-1, SeedSequence.Validation).Should().Be(14367622891834388536UL);
    }

    [Fact]
    public void Every_purpose_epoch_and_batch_has_its_own_seed()
    {
        string[] purposes =
        [
            SeedSequence.Backbone, SeedSequence.WeightNetwork, SeedSequence.TrainLimit, SeedSequence.TestLimit, SeedSequence.Validation,
            SeedSequence.Order, SeedSequence.Augmentation, SeedSequence.GeneratedTrain, SeedSequence.GeneratedTest,
        ];
        var seeds = (
            from seed in new long[] { -1, 0, 1, 2 }
            from purpose in purposes
            from numbers in new long[][] { [], [0], [1], [0, 0], [0, 1], [1, 0] }
            select SeedSequence.Derive(seed, purpose, numbers)).ToList();
        var distinctInputs = 4 * purposes.Length * 6;

        seeds.Distinct().Should().HaveCount(distinctInputs);
        seeds.Select(seed => (uint)seed).Distinct().Should().HaveCount(distinctInputs, "libtorch uses the low 32 bits");
    }

    [Fact]
    public void A_purpose_that_continues_another_one_does_not_meet_it()
        => SeedSequence.Derive(0, "order", 'A').Should().NotBe(SeedSequence.Derive(0, "orderA"));

    [Fact]
    public void Different_epochs_have_different_seeds() => Prop.ForAll<long, int, int>((seed, a, b) =>
        (SeedSequence.Derive(seed, SeedSequence.Order, a) == SeedSequence.Derive(seed, SeedSequence.Order, b)) == (a == b))
        .Hold();

    [Fact]
    public void A_generator_repeats_its_numbers()
    {
        using var first = SeedSequence.Generator(3, SeedSequence.Order, 1);
        using var second = SeedSequence.Generator(3, SeedSequence.Order, 1);
        using var other = SeedSequence.Generator(3, SeedSequence.Order, 2);
        using var a = randn([20], generator: first);
        using var b = randn([20], generator: second);
        using var c = randn([20], generator: other);

        b.data<float>().ToArray().Should().Equal(a.data<float>().ToArray());
        c.data<float>().ToArray().Should().NotEqual(a.data<float>().ToArray());
    }
}

using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Tests.Experiments.Data;

/// <summary>Class-imbalanced training data and held-out meta data.</summary>
public sealed class DataImbalanceTests
{
    private static readonly ImbalanceOptions Exponential = new() { Type = ImbalanceProfile.Exponential, Factor = 100 };

    [Theory]
    [InlineData(nameof(ImbalanceProfile.Exponential), "5000 2997 1796 1077 645 387 232 139 83 50")]
    [InlineData(nameof(ImbalanceProfile.Step), "5000 5000 5000 5000 5000 50 50 50 50 50")]
    [InlineData(nameof(ImbalanceProfile.None), "5000 5000 5000 5000 5000 5000 5000 5000 5000 5000")]
    public void Profiles_of_CIFAR_10_with_factor_100_are_the_published_ones(string profile, string expected)
        => ImbalancedClasses.Counts(
            Exponential with { Type = Enum.Parse<ImbalanceProfile>(profile) }, 5000, ImbalancedClasses.Order(ClassOrder.Index, 10, 0))
            .Should()
            .Equal(expected.Split(' ').Select(long.Parse));

    /// <summary>n_max is what validation and meta data left of the largest class; both stay balanced, and nothing is in two sets.</summary>
    [Fact]
    public void Sets_are_drawn_before_the_imbalance()
    {
        using RunData data = Load(
            new DataOptions { Validation = 5000, Imbalance = Exponential }, new MetaSettings { Source = MetaSource.HeldOut, PerClass = 7 });

        data.Validation.ClassCounts().Should().AllBeEquivalentTo(40);
        data.Meta!.ClassCounts().Should().AllBeEquivalentTo(7);
        data.Train.ClassCounts().Should().Equal(ImbalancedClasses.Counts(Exponential, 400 - 40 - 7, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
        data.Test.ClassCounts().Should().AllBeEquivalentTo(100);
        new[] { data.Train, data.Validation, data.Meta }.SelectMany(set => set.SourceIndices.data<long>().ToArray()).Should()
            .OnlyHaveUniqueItems();
    }

    [Fact]
    public void Nothing_need_be_held_out()
    {
        using RunData data = Load(new DataOptions { Validation = 0, Imbalance = Exponential }, new MetaSettings());

        data.Validation.Count.Should().Be(0);
        data.Meta.Should().BeNull();
        data.Train.ClassCounts().Should().Equal(ImbalancedClasses.Counts(Exponential, 400, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
    }

    [Fact]
    public void Meta_data_are_held_out_only_where_weights_are_learned_by_them()
    {
        using RunData plain = Load(new DataOptions(), new MetaSettings { Enabled = false, Source = MetaSource.HeldOut });
        using RunData halves = Load(new DataOptions(), new MetaSettings { PerClass = 20 });

        (plain.Meta, halves.Meta).Should().Be((null, null));
        plain.Train.Count.Should().Be(3600);
    }

    [Fact]
    public void A_larger_factor_keeps_a_subset_and_a_shuffled_order_the_same_counts_for_other_classes()
        => Prop.ForAll(Arb.From(Gen.Choose(0, 1000)), Arb.From(Gen.Choose(10, 5000)), Arb.From(Gen.Choose(10, 5000)), (seed, one, other) =>
        {
            long[] labels = [.. Enumerable.Range(0, 600).Select(row => (long)((row * 7) % 6))];
            var smaller = Exponential with { Factor = Math.Min(one, other) / 10.0 };
            var larger = Exponential with { Factor = Math.Max(one, other) / 10.0 };
            long[] kept = ImbalancedClasses.SelectRows(labels, 6, smaller, seed);
            ImbalancedClasses.SelectRows(labels, 6, larger, seed).Should().BeSubsetOf(kept);

            long[] shuffled = ImbalancedClasses.SelectRows(labels, 6, smaller with { Order = ClassOrder.Shuffle }, seed);
            Sizes(labels, shuffled).Order().Should().Equal(Sizes(labels, kept).Order());
            ImbalancedClasses.SelectRows(labels, 6, smaller with { Order = ClassOrder.Shuffle }, seed).Should().Equal(shuffled);
            kept.Should().BeInAscendingOrder();
        }).Hold();

    [Fact]
    public void Too_many_meta_images_are_refused_with_what_there_is()
        => FluentActions.Invoking(
            () => Load(new DataOptions { TrainLimit = 100 }, new MetaSettings { Source = MetaSource.HeldOut, PerClass = 9 }))
            .Should().Throw<UsageException>().WithMessage(
                "meta.perClass 9 would take all images of a class that has 9 after validation is held out: lower meta.perClass, or raise "
                    + "data.trainLimit");

    private static int[] Sizes(long[] labels, long[] rows)
        => [.. Enumerable.Range(0, 6).Select(label => rows.Count(row => labels[row] == label))];

    private static RunData Load(DataOptions data, MetaSettings meta) => DataSets.Load(new Settings { Data = data, Meta = meta, Seed = 3 });
}

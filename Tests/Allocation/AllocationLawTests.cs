using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Allocation;

namespace Imta.MetaWeight.Tests.Allocation;

public sealed class AllocationLawTests
{
    /// <summary>M samples, K exits, q and a seed; with ties the confidences are of three values only.</summary>
    public sealed record Case(int Samples, int Exits, double Q, int Seed, bool Ties)
    {
        public int[] Quotas => ExitShares.Quotas(ExitShares.FromQ(Q, Exits), Samples);

        /// <summary>Confidences [M, K].</summary>
        public Tensor Confidence()
        {
            using var random = new Generator((ulong)Seed);
            return Ties
                ? randint(1, 4, [Samples, Exits], float64, generator: random).div(Held(4))
                : rand([Samples, Exits], float64, generator: random);
        }
    }

    private static readonly Gen<Case> Cases =
        from samples in Gen.Choose(1, 40)
        from exits in Gen.Choose(1, 7)
        from p in Gen.Choose(1, 40)
        from seed in Gen.Choose(0, int.MaxValue)
        from ties in Gen.Elements(false, true)
        select new Case(samples, exits, p / 20.0, seed, ties);

    [Fact]
    public void Every_sample_goes_to_one_exit_and_every_exit_gets_its_quota() => ForAll(Cases, c =>
    {
        long[] exits = MetaAllocation.Exits(c.Confidence(), c.Quotas).data<long>().ToArray();

        exits.Should().HaveCount(c.Samples);
        Enumerable.Range(0, c.Exits).Select(k => exits.Count(exit => exit == k)).Should().Equal(c.Quotas);
        c.Quotas.Sum().Should().Be(c.Samples);
    });

    [Fact]
    public void An_exit_is_at_least_as_confident_of_its_samples_as_of_all_that_it_left() => ForAll(Cases, c =>
    {
        Tensor confidence = c.Confidence();
        long[] exits = MetaAllocation.Exits(confidence, c.Quotas).data<long>().ToArray();

        for (int k = 0; k < c.Exits - 1; k++)
        {
            double[] here = confidence.select(1, k).data<double>().ToArray();
            double leastTaken = here.Where((_, i) => exits[i] == k).Append(double.PositiveInfinity).Min();
            double mostLeft = here.Where((_, i) => exits[i] > k).Append(double.NegativeInfinity).Max();
            leastTaken.Should().BeGreaterThanOrEqualTo(mostLeft);
        }
    });

    [Fact]
    public void Of_equally_confident_samples_the_earlier_ones_go_first() => ForAll(Cases, c =>
    {
        Tensor confidence = full([c.Samples, c.Exits], Held(0.5), float64);

        MetaAllocation.Exits(confidence, c.Quotas).data<long>().ToArray().Should().BeInAscendingOrder();
    });

    [Fact]
    public void Samples_in_another_order_go_to_the_same_exits() => ForAll(Cases.Where(c => !c.Ties), c =>
    {
        using var random = new Generator((ulong)c.Seed + 1);
        Tensor confidence = c.Confidence();
        Tensor order = randperm(c.Samples, int64, generator: random);

        long[] ofReordered = MetaAllocation.Exits(confidence.index_select(0, order), c.Quotas).data<long>().ToArray();
        ofReordered.Should().Equal(MetaAllocation.Exits(confidence, c.Quotas).index_select(0, order).data<long>().ToArray());
    });

    [Fact]
    public void Weights_make_a_mean_over_each_exits_samples() => ForAll(Cases, c =>
    {
        Tensor exits = MetaAllocation.Exits(c.Confidence(), c.Quotas);
        Tensor weights = MetaAllocation.Weights(exits, c.Quotas, float64);

        weights.shape.Should().Equal(c.Samples, c.Exits);
        weights.gt(Held(0)).sum([0]).data<long>().ToArray().Should().Equal(c.Quotas.Select(quota => (long)quota));
        weights.sum([1]).gt(Held(0)).all().item<bool>().Should().BeTrue("every sample counts once");
        weights.sum([0]).data<double>().ToArray().Zip(c.Quotas).Should()
            .OnlyContain(sum => Math.Abs(sum.First - Math.Sign(sum.Second)) < 1e-14);
    });

    [Fact]
    public void Quotas_that_do_not_fit_are_refused()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor confidence = full([5, 3], Held(0.5), float64);

        FluentActions.Invoking(() => MetaAllocation.Exits(confidence, [2, 2, 2])).Should().Throw<ArgumentException>()
            .WithMessage("*summing to 6*5 samples*");
        FluentActions.Invoking(() => MetaAllocation.Exits(confidence, [2, 3])).Should().Throw<ArgumentException>()
            .WithMessage("2 quotas*3 exits*");
    }

    private static void ForAll(Gen<Case> cases, Action<Case> law) => Prop.ForAll(Arb.From(cases), c =>
    {
        using DisposeScope scope = NewDisposeScope();
        law(c);
    }).Hold();
}

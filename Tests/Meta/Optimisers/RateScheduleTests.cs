using Imta.MetaWeight.Meta.Optimisers;

namespace Imta.MetaWeight.Tests.Meta.Optimisers;

public sealed class RateScheduleTests
{
    private const int Batches = 10;

    [Fact]
    public void Cosine_goes_from_1_over_a_half_to_almost_0_and_never_up()
    {
        var options = new TrainOptions { Schedule = RateScheduleKind.Cosine, Epochs = 6 };
        double[] factors =
        [
            .. Enumerable.Range(0, 6 * Batches).Select(t => RateSchedule.Factor(options, t / Batches, t % Batches, Batches)),
        ];

        factors[0].Should().Be(1);
        factors[30].Should().BeApproximately(0.5, 1e-15);
        factors[15].Should().BeApproximately((1 + Math.Sqrt(0.5)) / 2, 1e-15);
        factors[^1].Should().BeInRange(1e-4, 1e-3);
        factors.Should().BeInDescendingOrder().And.OnlyHaveUniqueItems();
        RateSchedule.Factor(options, 6, 0, Batches).Should().BeApproximately(0, 1e-15);
    }

    [Theory]
    [InlineData(RateScheduleKind.Cosine)]
    [InlineData(RateScheduleKind.MultiStep)]
    public void Warm_up_rises_linearly_to_the_schedule(RateScheduleKind schedule)
    {
        var options = new TrainOptions { Schedule = schedule, Epochs = 6, Milestones = [1, 4] };
        double[] Factors(int warmup) =>
        [
            .. Enumerable.Range(0, 6 * Batches)
                .Select(t => RateSchedule.Factor(options with { Warmup = warmup }, t / Batches, t % Batches, Batches)),
        ];
        double[] without = Factors(0), with = Factors(2);

        with[..20].Zip(without).Select((pair, t) => pair.First / pair.Second / ((t + 1) / 20.0)).Should()
            .OnlyContain(ratio => Math.Abs(ratio - 1) < 1e-14);
        with[20..].Should().Equal(without[20..]);
    }

    [Fact]
    public void Multi_step_decays_at_the_first_batch_after_each_milestone()
    {
        var options = new TrainOptions { Schedule = RateScheduleKind.MultiStep, Epochs = 9, Milestones = [2, 5], Decay = 0.2 };
        double[] factors = [.. Enumerable.Range(0, 9).Select(epoch => RateSchedule.Factor(options, epoch, 0, Batches))];

        double once = 0.2, twice = 0.2 * 0.2;
        factors.Should().Equal([1, 1, once, once, once, twice, twice, twice, twice], (a, b) => Math.Abs(a - b) < 1e-16);
        RateSchedule.Factor(options, 1, Batches - 1, Batches).Should().Be(1);
    }
}

using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Allocation;

namespace Imta.MetaWeight.Tests.Allocation;

public sealed class ExitSharesTests
{
    // The largest relative error of one rounding to float32.
    private const double Rounding = 1.0 / (1 << 24);

    [Fact]
    public void Shares_sum_to_1_and_each_is_q_times_the_one_before() => Prop.ForAll(
        Arb.From(from q in Gen.Choose(1, 400) from exits in Gen.Choose(1, 12) select (Q: q / 100.0, Exits: exits)),
        c =>
        {
            float[] shares = ExitShares.FromQ(c.Q, c.Exits);

            // Powers are exp(k · ln q): what is rounded of the exponent is a relative error of the power.
            double allowed = Rounding * ((4 * c.Exits * Math.Abs(Math.Log(c.Q))) + (2 * c.Exits) + 8);
            shares.Should().HaveCount(c.Exits);
            shares.Sum(share => (double)share).Should().BeApproximately(1, c.Exits * Rounding);
            shares.Skip(1).Zip(shares, (share, before) => share / (before * c.Q)).Should()
                .NotContain(ratio => Math.Abs(ratio - 1) > allowed);
        }).Hold();

    [Fact]
    public void Quotas_are_floors_of_float32_products()
    {
        // In float64 the fifth quota is 64: the one of 45 published settings where the two differ.
        ExitShares.Quotas(ExitShares.FromQ(4 / 20.0, 10), 50000).Should().Equal(40000, 8000, 1600, 320, 63, 12, 2, 0, 0, 3);
    }

    [Fact]
    public void Q_of_1_gives_every_exit_the_same() => ExitShares.FromQ(1, 4).Should().Equal(0.25f, 0.25f, 0.25f, 0.25f);

    [Fact]
    public void One_exit_takes_everything()
    {
        ExitShares.FromQ(0.3, 1).Should().Equal(1f);
        ExitShares.Quotas([1f], 7).Should().Equal(7);
    }

    [Fact]
    public void The_last_exit_takes_what_the_floors_leave()
        => ExitShares.Quotas([0.25f, 0.25f, 0.25f, 0.25f], 7).Should().Equal(1, 1, 1, 4);

    [Theory]
    [InlineData(0.0, 10)]
    [InlineData(-0.5, 10)]
    [InlineData(double.NaN, 10)]
    [InlineData(double.PositiveInfinity, 10)]
    [InlineData(1e-300, 10)] // no float32 number
    [InlineData(1e30, 10)] // its tenth power overflows
    [InlineData(1.9, 138)] // no power overflows, but their sum does
    public void Q_that_gives_no_shares_is_refused(double q, int exits) => FluentActions.Invoking(() => ExitShares.FromQ(q, exits))
        .Should().Throw<ArgumentOutOfRangeException>().WithParameterName(nameof(q)).WithMessage("*positive q*");

    [Fact]
    public void No_exit_is_refused() => FluentActions.Invoking(() => ExitShares.FromQ(1, 0))
        .Should().Throw<ArgumentOutOfRangeException>().WithParameterName("exits");
}

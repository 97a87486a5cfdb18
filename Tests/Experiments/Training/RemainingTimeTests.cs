using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Training;

namespace Imta.MetaWeight.Tests.Experiments.Training;

public sealed class RemainingTimeTests
{
    private readonly ManualClock _clock = new();

    /// <summary>As of batches of 4096, and of a run that goes on in its middle: 13,500 steps are left here.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(32)]
    [InlineData(900)]
    public void It_goes_by_the_mean_of_the_steps_that_were_made_here(int seconds)
    {
        var left = new RemainingTime(13_500, _clock);
        left.Value.Should().BeNull("nothing is known before a step");
        for (int step = 1; step <= 10; step++)
        {
            _clock.Pass(TimeSpan.FromSeconds(seconds));
            left.Advance();
            left.Value.Should().Be(TimeSpan.FromSeconds(seconds * (13_500 - step)));
        }
    }

    [Fact]
    public void A_pause_such_as_validation_counts_and_the_end_is_nothing()
    {
        var left = new RemainingTime(4, _clock);
        _clock.Pass(TimeSpan.FromMinutes(1));
        left.Advance();
        _clock.Pass(TimeSpan.FromMinutes(2));
        left.Value.Should().Be(TimeSpan.FromMinutes(9));
        foreach (int _ in Enumerable.Range(0, 3))
        {
            left.Advance();
        }

        left.Value.Should().Be(TimeSpan.Zero);
    }
}

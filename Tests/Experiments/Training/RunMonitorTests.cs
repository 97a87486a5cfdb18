using Imta.MetaWeight.Experiments.Training;

namespace Imta.MetaWeight.Tests.Experiments.Training;

public sealed class RunMonitorTests
{
    [Theory]
    [InlineData(0, 0, 0, 7, "0:00:07")]
    [InlineData(0, 23, 59, 59, "23:59:59")]
    [InlineData(1, 0, 0, 0, "1 d 0:00:00")]
    [InlineData(12, 3, 4, 5, "12 d 3:04:05")]
    public void Days_stand_before_the_hours_that_are_left(int days, int hours, int minutes, int seconds, string text)
        => RunMonitor.FormatRemaining(new TimeSpan(days, hours, minutes, seconds)).Should().Be(text);

    /// <summary>They wait for the device: not every step may.</summary>
    [Fact]
    public void Figures_are_asked_for_only_where_a_line_is_written()
    {
        var clock = new ManualClock();
        var monitor = new RunMonitor.PlainMonitor(clock);
        int asked = 0;

        monitor.Track(1000, 0, () =>
        {
            for (int step = 0; step < 1000; step++)
            {
                clock.Pass(TimeSpan.FromSeconds(0.1)); // 100 s in all: three lines
                monitor.Advance("a step", () => $", {++asked}");
            }
        });

        asked.Should().Be(3);
    }
}

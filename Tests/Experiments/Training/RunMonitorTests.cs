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
}

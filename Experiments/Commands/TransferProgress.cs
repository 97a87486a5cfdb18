using System.Diagnostics;
using System.Globalization;
using Spectre.Console;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>Download progress: a bar on a terminal, occasional lines elsewhere.</summary>
internal static class TransferProgress
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);

    /// <summary>Runs <paramref name="work"/>, which reports the bytes received and, if known, the total.</summary>
    public static Task ShowAsync(Func<Action<long, long?>, Task> work)
        => Terminal.IsInteractive ? ShowBarAsync(work) : ShowLinesAsync(work);

    private static Task ShowBarAsync(Func<Action<long, long?>, Task> work) => AnsiConsole.Progress()
        .AutoClear(true)
        .Columns(new ProgressBarColumn(), new PercentageColumn(), new TaskDescriptionColumn())
        .StartAsync(context =>
        {
            ProgressTask task = context.AddTask("connecting");
            var speed = new Meter();
            return work((here, total) =>
            {
                task.MaxValue = total ?? here + 1; // an unknown size never reaches 100 %
                task.Value = here;
                task.Description = Markup.Escape(speed.Describe(here, total));
            });
        });

    private static Task ShowLinesAsync(Func<Action<long, long?>, Task> work)
    {
        var speed = new Meter();
        var sinceLine = Stopwatch.StartNew();
        return work((here, total) =>
        {
            string line = speed.Describe(here, total);
            if (sinceLine.Elapsed >= Interval)
            {
                Console.Out.WriteLine(line);
                sinceLine.Restart();
            }
        });
    }

    /// <summary>Such as <c>34 of 170 MB, 3.1 MB/s, 0:00:44 left</c>.</summary>
    /// <param name="here">Bytes on disk so far.</param>
    /// <param name="total">Total bytes, if known.</param>
    /// <param name="came">Bytes received within <paramref name="elapsed"/>; the others were on disk before.</param>
    /// <param name="elapsed">The time since the first report.</param>
    internal static string Describe(long here, long? total, long came, TimeSpan elapsed)
    {
        string done = total is null ? Invariant($"{here / 1e6:F0} MB") : Invariant($"{here / 1e6:F0} of {total / 1e6:F0} MB");
        if (came <= 0 || elapsed < TimeSpan.FromSeconds(1))
        {
            return done;
        }

        double speed = came / elapsed.TotalSeconds;
        string rate = Invariant($"{done}, {speed / 1e6:F1} MB/s");
        return total is { } all && (all - here) / speed is < 1e6 and var seconds
            ? Invariant($"{rate}, {(int)(seconds / 3600)}:{TimeSpan.FromSeconds(seconds):mm\\:ss} left")
            : rate;
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    /// <summary>Measures from the first report: bytes from an earlier attempt do not count towards the speed.</summary>
    private sealed class Meter
    {
        private readonly Stopwatch _clock = new();
        private long _before;

        public string Describe(long here, long? total)
        {
            if (!_clock.IsRunning || here < _before)
            {
                _before = here;
                _clock.Restart();
            }

            return TransferProgress.Describe(here, total, here - _before, _clock.Elapsed);
        }
    }
}

using System.Diagnostics;
using System.Globalization;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>The output of a long run: permanent lines (also in <c>log.txt</c>), and its progress.</summary>
internal abstract class RunMonitor
{
    private string? _log;

    /// <summary>A bar on a terminal, plain lines elsewhere.</summary>
    public static RunMonitor ForConsole()
        => Terminal.IsInteractive ? new TerminalMonitor() : new PlainMonitor();

    /// <summary>Silent, for ranks other than 0.</summary>
    public static RunMonitor Silent() => new SilentMonitor();

    /// <summary>From now on, also writes lines to this file.</summary>
    public void LogTo(string path) => _log = path;

    /// <summary>Writes a line.</summary>
    public void WriteLine(string line)
    {
        Show(line);
        Log(line);
    }

    /// <summary>Writes to the log only.</summary>
    public void Log(string line)
    {
        if (_log is not null)
        {
            File.AppendAllText(_log, string.Create(CultureInfo.InvariantCulture, $"{DateTime.UtcNow:yyyy-MM-dd HH:mm:ss} {line}\n"));
        }
    }

    /// <summary>
    /// Writes a failure's stack trace to the log, if there is one that can be written; the failure's report then names the log.
    /// </summary>
    public void LogFailure(Exception failure)
    {
        if (TryLog($"the run failed: {failure}") && _log is not null)
        {
            Failure.SetLog(failure, _log);
        }
    }

    /// <summary>Writes to the log if it can be written: a log that fails must not hide what failed before.</summary>
    public bool TryLog(string line)
    {
        try
        {
            Log(line);
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>Runs <paramref name="work"/>, which calls <see cref="Advance"/> once for each remaining step.</summary>
    public abstract void Track(long steps, long done, Action work);

    /// <summary>Reports one completed step.</summary>
    /// <param name="where">The position, such as <c>epoch 3/6</c>.</param>
    /// <param name="figures">
    /// What to show after it; called only when it is shown, at most once a second, because it may wait for the device; null: nothing.
    /// </param>
    public abstract void Advance(string where, Func<string>? figures = null);

    /// <summary>Formats a remaining time as days (if any), hours, minutes and seconds.</summary>
    public static string FormatRemaining(TimeSpan time) => time.Days == 0
        ? time.ToString(@"h\:mm\:ss", CultureInfo.InvariantCulture)
        : time.ToString(@"d' d 'h\:mm\:ss", CultureInfo.InvariantCulture);

    /// <summary>Formats one fraction per exit as percentages.</summary>
    public static string FormatPercentages(IEnumerable<double> fractions)
        => string.Join(" ", fractions.Select(value => (100 * value).ToString("0.0", CultureInfo.InvariantCulture)));

    protected abstract void Show(string line);

    /// <summary>A progress bar with the remaining time.</summary>
    private sealed class TerminalMonitor : RunMonitor
    {
        private static readonly TimeSpan FiguresInterval = TimeSpan.FromSeconds(1);

        private readonly Stopwatch _sinceFigures = new();
        private ProgressTask? _task;
        private RemainingTime? _left;
        private string _shown = "";

        public override void Track(long steps, long done, Action work) => AnsiConsole.Progress()
            .AutoClear(true)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn(this))
            .Start(context =>
            {
                _left = new RemainingTime(steps - done);
                _task = context.AddTask("starting", maxValue: steps);
                _task.Value = done;
                work();
            });

        public override void Advance(string where, Func<string>? figures = null)
        {
            _left!.Advance();
            if (figures is not null && (_shown.Length == 0 || _sinceFigures.Elapsed >= FiguresInterval))
            {
                _shown = figures();
                _sinceFigures.Restart();
            }

            _task!.Description = Markup.Escape(where + _shown);
            _task.Increment(1);
        }

        protected override void Show(string line) => AnsiConsole.WriteLine(line);

        /// <summary>The library's own column is limited to 99 hours and uses only the most recent speed.</summary>
        private sealed class RemainingTimeColumn(TerminalMonitor monitor) : ProgressColumn
        {
            protected override bool NoWrap => true;

            public override IRenderable Render(RenderOptions options, ProgressTask task, TimeSpan deltaTime)
                => new Text(monitor._left?.Value is { } left ? FormatRemaining(left) : "", new Style(foreground: Color.Blue));
        }
    }

    private sealed class SilentMonitor : RunMonitor
    {
        public override void Track(long steps, long done, Action work) => work();

        public override void Advance(string where, Func<string>? figures = null)
        {
        }

        protected override void Show(string line)
        {
        }
    }

    /// <summary>Occasional lines.</summary>
    /// <param name="clock">Null: the system clock.</param>
    internal sealed class PlainMonitor(TimeProvider? clock = null) : RunMonitor
    {
        private static readonly TimeSpan Interval = TimeSpan.FromSeconds(30);

        private readonly TimeProvider _clock = clock ?? TimeProvider.System;
        private long _lastLine;
        private RemainingTime? _left;

        public override void Track(long steps, long done, Action work)
        {
            _left = new RemainingTime(steps - done, _clock);
            _lastLine = _clock.GetTimestamp();
            work();
        }

        public override void Advance(string where, Func<string>? figures = null)
        {
            _left!.Advance();
            if (_clock.GetElapsedTime(_lastLine) < Interval)
            {
                return;
            }

            Show($"{where}{figures?.Invoke()}, {FormatRemaining(_left.Value!.Value)} left");
            _lastLine = _clock.GetTimestamp();
        }

        protected override void Show(string line) => Console.WriteLine(line);
    }
}

/// <summary>
/// The remaining time, estimated from the mean step time since this process started, including pauses such as validation. Thread-safe.
/// </summary>
internal sealed class RemainingTime
{
    private readonly TimeProvider _clock;
    private readonly long _start;
    private readonly long _steps;
    private long _done;

    /// <param name="steps">The remaining steps; steps of an earlier process do not count towards this one's speed.</param>
    /// <param name="clock">Null: the system clock.</param>
    public RemainingTime(long steps, TimeProvider? clock = null)
    {
        (_steps, _clock) = (steps, clock ?? TimeProvider.System);
        _start = _clock.GetTimestamp();
    }

    /// <summary>Null before the first step.</summary>
    public TimeSpan? Value
        => Interlocked.Read(ref _done) is > 0 and long done ? _clock.GetElapsedTime(_start) / done * Math.Max(0, _steps - done) : null;

    public void Advance() => Interlocked.Increment(ref _done);
}

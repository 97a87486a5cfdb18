namespace Imta.MetaWeight.Experiments.Training;

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

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>The time that is left, by the mean of the steps since the work began here: pauses between them, such as validation, count too. For any thread.</summary>
internal sealed class TimeLeft
{
    private readonly TimeProvider _clock;
    private readonly long _start;
    private readonly long _steps;
    private long _done;

    /// <param name="steps">Steps that are left; what was done before, by an earlier process, says nothing about this one's speed.</param>
    /// <param name="clock">Null: the machine's.</param>
    public TimeLeft(long steps, TimeProvider? clock = null)
    {
        (_steps, _clock) = (steps, clock ?? TimeProvider.System);
        _start = _clock.GetTimestamp();
    }

    /// <summary>Null before the first step.</summary>
    public TimeSpan? Left => Interlocked.Read(ref _done) is > 0 and long done ? _clock.GetElapsedTime(_start) / done * Math.Max(0, _steps - done) : null;

    public void Advance() => Interlocked.Increment(ref _done);
}

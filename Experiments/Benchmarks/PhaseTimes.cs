using System.Diagnostics;
using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Experiments.Benchmarks;

/// <summary>
/// Listens to the phases of steps on this thread. Time is attributed to the innermost open phase, so that the sums of all phases, and
/// of the time outside any phase, add up to the total time.
/// </summary>
internal sealed class PhaseTimes
{
    /// <summary>Time outside any phase.</summary>
    public const string Other = "other";

    private readonly TimeProvider _clock;
    private readonly Action _wait;
    private readonly Stack<string> _open = [];
    private readonly OrderedDictionary<string, TimeSpan> _self = [];
    private long _last;

    /// <param name="clock">The clock.</param>
    /// <param name="wait">Waits for the device, so that its work is attributed to the phase that issued it.</param>
    public PhaseTimes(TimeProvider clock, Action wait) => (_clock, _wait) = (clock, wait);

    /// <summary>
    /// The share of each phase in the total time, in the order in which they first started; <see cref="Other"/> comes last.
    /// </summary>
    public IReadOnlyDictionary<string, double> Shares
    {
        get
        {
            double whole = _self.Values.Sum(time => time.TotalSeconds);
            return new OrderedDictionary<string, double>(
                _self.OrderBy(phase => phase.Key == Other)
                    .Select(phase => KeyValuePair.Create(phase.Key, phase.Value.TotalSeconds / whole)));
        }
    }

    /// <summary>Measures the phases on this thread while <paramref name="work"/> runs.</summary>
    public void Measure(Action work)
    {
        int thread = Environment.CurrentManagedThreadId;
        _open.Push(Other);
        _last = _clock.GetTimestamp();
        using (var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == StepPhases.Source,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.PropagationData,
            ActivityStarted = phase => OnThread(() => _open.Push(phase.OperationName)),
            ActivityStopped = _ => OnThread(() => _open.Pop()),
        })
        {
            ActivitySource.AddActivityListener(listener);
            work();
        }

        Count();
        _open.Clear();

        void OnThread(Action change)
        {
            if (Environment.CurrentManagedThreadId == thread)
            {
                Count();
                change();
            }
        }
    }

    /// <summary>Attributes the time since the last change to the innermost open phase.</summary>
    private void Count()
    {
        _wait();
        long now = _clock.GetTimestamp();
        _self[_open.Peek()] = _self.GetValueOrDefault(_open.Peek()) + _clock.GetElapsedTime(_last, now);
        _last = now;
    }
}

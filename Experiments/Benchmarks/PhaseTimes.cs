using System.Diagnostics;
using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Experiments.Benchmarks;

/// <summary>
/// Listens to the phases of steps on this thread. Time counts for the innermost phase that is open, so that the sums of all phases, and
/// of what lies in none, are the whole time.
/// </summary>
internal sealed class PhaseTimes
{
    /// <summary>What lies in no phase.</summary>
    public const string Other = "other";

    private readonly TimeProvider _clock;
    private readonly Action _wait;
    private readonly Stack<string> _open = [];
    private readonly OrderedDictionary<string, TimeSpan> _self = [];
    private long _last;

    /// <param name="clock">Tells the time.</param>
    /// <param name="wait">Waits for the device, so that its work counts for the phase that asked for it.</param>
    public PhaseTimes(TimeProvider clock, Action wait) => (_clock, _wait) = (clock, wait);

    /// <summary>The share of each phase in the time, in the order in which they first ended; <see cref="Other"/> comes last.</summary>
    public IReadOnlyDictionary<string, double> Shares
    {
        get
        {
            double whole = _self.Values.Sum(time => time.TotalSeconds);
            return new OrderedDictionary<string, double>(_self.OrderBy(phase => phase.Key == Other).Select(phase => KeyValuePair.Create(phase.Key, phase.Value.TotalSeconds / whole)));
        }
    }

    /// <summary>Adds what happens on this thread while <paramref name="work"/> runs.</summary>
    public void During(Action work)
    {
        int thread = Environment.CurrentManagedThreadId;
        _open.Push(Other);
        _last = _clock.GetTimestamp();
        using (var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == Phases.Source,
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

    /// <summary>Gives the time since the last change to the innermost open phase.</summary>
    private void Count()
    {
        _wait();
        long now = _clock.GetTimestamp();
        _self[_open.Peek()] = _self.GetValueOrDefault(_open.Peek()) + _clock.GetElapsedTime(_last, now);
        _last = now;
    }
}

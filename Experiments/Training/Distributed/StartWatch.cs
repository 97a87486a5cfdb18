using System.Diagnostics;

namespace Imta.MetaWeight.Experiments.Training.Distributed;

/// <summary>
/// Ends a rank that waits for others to start or reads its data if it is asked to stop or if the others do not start in time: MPI's
/// initialisation cannot be cancelled, and nothing is lost yet.
/// </summary>
internal sealed class StartWatch : IDisposable
{
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan UntilStop = TimeSpan.FromSeconds(0.7); // ranks that can stop with the others do so first

    private readonly LaunchPlace _place;
    private readonly TimeSpan _patience;
    private readonly CancellationToken _stop;
    private readonly LastWords _words;
    private readonly ManualResetEventSlim _over = new();
    private volatile MpiGroup? _group;

    public StartWatch(LaunchPlace place, TimeSpan patience, LastWords words, CancellationToken stop)
    {
        (_place, _patience, _stop, _words) = (place, patience, stop, words);
        new Thread(Watch) { IsBackground = true }.Start();
    }

    private string Name => Replicas.NameOf(_place.Rank, _place.Size);

    /// <summary>All have started.</summary>
    public void Meet(MpiGroup group) => _group = group;

    /// <summary>Training begins, which handles stop requests itself.</summary>
    public void Dispose() => _over.Set();

    private void Watch()
    {
        var clock = Stopwatch.StartNew();
        long stopSeen = 0;
        while (!_over.Wait(Look))
        {
            if (_group is null && clock.Elapsed > _patience)
            {
                string inVain = FormattableString.Invariant($"gave up after {_patience.TotalSeconds:0.#} s because not all ranks had started");
                _words.Say($"{Name} {inVain}; nothing has been written. Find the cause and restart; --process-timeout sets how long a rank waits");
                Thread.Sleep(Ranks.Grace);
                MpiGroup.Exit(1);
            }

            if (_stop.IsCancellationRequested)
            {
                stopSeen = stopSeen == 0 ? Stopwatch.GetTimestamp() : stopSeen;
                if (Stopwatch.GetElapsedTime(stopSeen) > UntilStop)
                {
                    string line = $"{Name} was stopped{(_group is null ? " before all ranks had started" : "")}";
                    Action<string> say = _place.Rank == 0 ? _words.Say : _words.Note;
                    say(line);
                    _group?.Abort(Interruption.ExitCode, Ranks.UntilStopped);
                    MpiGroup.Exit(Interruption.ExitCode);
                }
            }
        }
    }
}

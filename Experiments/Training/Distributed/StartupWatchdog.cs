using System.Diagnostics;

namespace Imta.MetaWeight.Experiments.Training.Distributed;

/// <summary>
/// While a rank waits for others to start or reads its data, ends it if it is asked to stop or the others do not start in time: MPI's
/// initialisation cannot be cancelled, and nothing is lost yet.
/// </summary>
internal sealed class StartupWatchdog : IDisposable
{
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan StopGracePeriod = TimeSpan.FromSeconds(0.7); // ranks that can stop with the others do so first

    private readonly RankAssignment _place;
    private readonly TimeSpan _patience;
    private readonly CancellationToken _stop;
    private readonly RankErrorLog _errorLog;
    private readonly ManualResetEventSlim _over = new();
    private volatile MpiCommunicator? _group;

    public StartupWatchdog(RankAssignment assignment, TimeSpan timeout, RankErrorLog words, CancellationToken stop)
    {
        (_place, _patience, _stop, _errorLog) = (assignment, timeout, stop, words);
        new Thread(Watch) { IsBackground = true }.Start();
    }

    private string Name => RankAssignment.Describe(_place.Rank, _place.Size);

    /// <summary>All ranks have started.</summary>
    public void OnAllStarted(MpiCommunicator group) => _group = group;

    /// <summary>Training begins, which handles stop requests itself.</summary>
    public void Dispose() => _over.Set();

    private void Watch()
    {
        var clock = Stopwatch.StartNew();
        long stopSeen = 0;
        while (!_over.Wait(PollInterval))
        {
            if (_group is null && clock.Elapsed > _patience)
            {
                string inVain = FormattableString.Invariant(
                    $"gave up after {_patience.TotalSeconds:0.#} s because not all ranks had started");
                _errorLog.Report(
                    $"{Name} {inVain}; nothing has been written. Find the cause and restart; --process-timeout sets how long a rank waits");
                Thread.Sleep(RankRunner.ReportGracePeriod);
                MpiCommunicator.Exit(1);
            }

            if (_stop.IsCancellationRequested)
            {
                stopSeen = stopSeen == 0 ? Stopwatch.GetTimestamp() : stopSeen;
                if (Stopwatch.GetElapsedTime(stopSeen) > StopGracePeriod)
                {
                    string line = $"{Name} was stopped{(_group is null ? " before all ranks had started" : "")}";
                    Action<string> report = _place.Rank == 0 ? _errorLog.Report : _errorLog.Append;
                    report(line);
                    _group?.Abort(StopSignal.ExitCode, RankRunner.StoppedAbortTimeout);
                    MpiCommunicator.Exit(StopSignal.ExitCode);
                }
            }
        }
    }
}

using Imta.MetaWeight.Experiments.Data.Pictures;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>A run's log messages about the images read by its processes.</summary>
internal sealed class ImageReadLog
{
    private readonly ImageReadStatistics? _tally;
    private readonly ProcessGroup _processGroup;
    private readonly RunMonitor _monitor;
    private readonly List<string> _pendingMessages = []; // lines of a rank whose messages rank 0 prints
    private readonly HashSet<string> _told = [];

    /// <param name="tally">This process's statistics; null if images are in memory.</param>
    /// <param name="processGroup">The process group.</param>
    /// <param name="monitor">Writes the lines; those of rank 0 immediately.</param>
    public ImageReadLog(ImageReadStatistics? tally, ProcessGroup processGroup, RunMonitor monitor)
    {
        (_tally, _processGroup, _monitor) = (tally, processGroup, monitor);
        tally?.RedirectTo(processGroup.IsRankZero ? LogWarning : _pendingMessages.Add);
    }

    /// <summary>
    /// Writes a line to <c>log.txt</c> about the images read by all ranks since the last call, after the messages of the other ranks.
    /// </summary>
    /// <param name="what">The purpose of reading them.</param>
    public void Write(string what)
    {
        if (_tally is null)
        {
            return;
        }

        using DisposeScope scope = NewDisposeScope();
        for (int rank = 1; rank < _processGroup.Shard.Count; rank++)
        {
            string lines = _processGroup.Broadcast(
                rank == _processGroup.Shard.Rank ? string.Join('\n', _pendingMessages) + '\n' : null, rank);
            Array.ForEach(lines.Split('\n', StringSplitOptions.RemoveEmptyEntries), LogWarning);
        }

        _pendingMessages.Clear();
        Tensor counts = _tally.TakeCounts();
        _processGroup.AllReduceSum(counts);
        _monitor.Log($"{what}: {ImageReadStatistics.Describe(counts)}");
    }

    private void LogWarning(string line)
    {
        if (_told.Add(line))
        {
            _monitor.WriteLine($"warning: {line}");
        }
    }
}

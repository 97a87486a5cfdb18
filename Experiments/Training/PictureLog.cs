using Imta.MetaWeight.Experiments.Data.Pictures;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>What a run tells of the pictures that its processes read.</summary>
internal sealed class PictureLog
{
    private readonly PictureTally? _tally;
    private readonly Replicas _replicas;
    private readonly RunMonitor _monitor;
    private readonly List<string> _untold = []; // lines of a process that another one speaks for
    private readonly HashSet<string> _told = [];

    /// <param name="tally">Of this process; null: images are in memory.</param>
    /// <param name="replicas">All processes.</param>
    /// <param name="monitor">Writes the lines, of the first process at once.</param>
    public PictureLog(PictureTally? tally, Replicas replicas, RunMonitor monitor)
    {
        (_tally, _replicas, _monitor) = (tally, replicas, monitor);
        tally?.TellTo(replicas.IsFirst ? Tell : _untold.Add);
    }

    /// <summary>A line of <c>log.txt</c> on the pictures that all processes have read since the last one, behind what the others have to tell of theirs.</summary>
    /// <param name="what">What they were read for.</param>
    public void Write(string what)
    {
        if (_tally is null)
        {
            return;
        }

        using DisposeScope scope = NewDisposeScope();
        for (int rank = 1; rank < _replicas.Shard.Of; rank++)
        {
            string lines = _replicas.Share(rank == _replicas.Shard.Rank ? string.Join('\n', _untold) + '\n' : null, rank);
            Array.ForEach(lines.Split('\n', StringSplitOptions.RemoveEmptyEntries), Tell);
        }

        _untold.Clear();
        Tensor counts = _tally.Take();
        _replicas.Sum(counts);
        _monitor.Log($"{what}: {PictureTally.Describe(counts)}");
    }

    private void Tell(string line)
    {
        if (_told.Add(line))
        {
            _monitor.Say($"warning: {line}");
        }
    }
}

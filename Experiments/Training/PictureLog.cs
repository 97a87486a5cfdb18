using Imta.MetaWeight.Experiments.Data.Pictures;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>A run's log messages about the images read by its processes.</summary>
internal sealed class PictureLog
{
    private readonly PictureTally? _tally;
    private readonly Replicas _replicas;
    private readonly RunMonitor _monitor;
    private readonly List<string> _untold = []; // lines of a rank whose messages rank 0 prints
    private readonly HashSet<string> _told = [];

    /// <param name="tally">This process's statistics; null if images are in memory.</param>
    /// <param name="replicas">The process group.</param>
    /// <param name="monitor">Writes the lines; those of rank 0 immediately.</param>
    public PictureLog(PictureTally? tally, Replicas replicas, RunMonitor monitor)
    {
        (_tally, _replicas, _monitor) = (tally, replicas, monitor);
        tally?.TellTo(replicas.IsFirst ? Tell : _untold.Add);
    }

    /// <summary>Writes a line to <c>log.txt</c> about the images read by all ranks since the last call, after the messages of the other ranks.</summary>
    /// <param name="what">The purpose of reading them.</param>
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

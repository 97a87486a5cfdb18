using Imta.MetaWeight.Experiments.Data.Pictures;
using Imta.MetaWeight.Experiments.Processes;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>A line of <c>log.txt</c> on the pictures that were read since the last one.</summary>
internal static class PictureLog
{
    /// <param name="tally">Of this process; null: images are in memory.</param>
    /// <param name="what">What they were read for.</param>
    /// <param name="replicas">All processes, whose pictures are summed.</param>
    /// <param name="monitor">Writes the line.</param>
    public static void Write(PictureTally? tally, string what, Replicas replicas, RunMonitor monitor)
    {
        if (tally is null)
        {
            return;
        }

        using DisposeScope scope = NewDisposeScope();
        Tensor counts = tally.Take();
        replicas.Sum(counts);
        monitor.Log($"{what}: {PictureTally.Describe(counts)}");
    }
}

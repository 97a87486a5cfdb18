using System.Diagnostics;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Benchmarks;

/// <summary>
/// Steps of a whole batch: by one process with a thread for each of several, and by those with a thread each. All processes go through the
/// same measurements; the first one tells the time.
/// </summary>
internal sealed class ScaleBench : IDisposable
{
    private readonly Replicas _replicas;
    private readonly StepBench? _one; // in the first process
    private readonly StepBench _all;

    public ScaleBench(Settings settings, Replicas replicas)
    {
        _replicas = replicas;
        _one = replicas.IsFirst ? new StepBench(settings, CPU) : null;
        _all = new StepBench(settings, CPU, replicas);
    }

    /// <summary>Bytes that each process hands over to be summed in the last step of several.</summary>
    public long BytesOfStep { get; private set; }

    /// <summary>The step by one process, which the others wait for.</summary>
    public Contender ByOne(StepKind kind)
    {
        Contender? step = _one?.WholeBatch(kind);
        return new Contender(kind.Name, () =>
        {
            set_num_threads(_replicas.Shard.Of);
            return step?.Measure() ?? 0;
        });
    }

    /// <summary>The step by all of them.</summary>
    public Contender ByAll(StepKind kind)
    {
        Contender step = _all.WholeBatch(kind);
        return new Contender(kind.Name, () =>
        {
            set_num_threads(1);
            _replicas.Agree(stop: false); // all have come
            long before = _replicas.BytesSummed;
            double seconds = step.Measure();
            BytesOfStep = _replicas.BytesSummed - before;
            return seconds;
        });
    }

    /// <summary>Replacing a tensor of float32 by its sum over all of them.</summary>
    /// <param name="bytes">Its size.</param>
    public Contender Exchange(long bytes) => new("exchange", () =>
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor tensor = ones([bytes / sizeof(float)]);
        _replicas.Agree(stop: false); // all have come
        long start = Stopwatch.GetTimestamp();
        _replicas.Sum(tensor);
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    });

    public void Dispose()
    {
        _all.Dispose();
        _one?.Dispose();
    }
}

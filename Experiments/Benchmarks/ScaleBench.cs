using System.Diagnostics;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Benchmarks;

/// <summary>
/// Steps on a whole batch: in one process with as many threads as there are processes, and in all processes with one thread each. All processes go through the
/// same measurements; rank 0 takes the time.
/// </summary>
internal sealed class ScaleBench : IDisposable
{
    private readonly Replicas _replicas;
    private readonly StepBench? _one; // in rank 0
    private readonly StepBench _all;

    public ScaleBench(Settings settings, Replicas replicas)
    {
        _replicas = replicas;
        _one = replicas.IsFirst ? new StepBench(settings, CPU) : null;
        _all = new StepBench(settings, CPU, replicas);
    }

    /// <summary>Bytes that each process all-reduced in the last multi-process step.</summary>
    public long BytesOfStep { get; private set; }

    /// <summary>The single-process step, which the other processes wait for.</summary>
    public Contender ByOne(StepKind kind)
    {
        Contender? step = _one?.WholeBatch(kind);
        return new Contender(kind.Name, () =>
        {
            set_num_threads(_replicas.Shard.Of);
            return step?.Measure() ?? 0;
        });
    }

    /// <summary>The multi-process step.</summary>
    public Contender ByAll(StepKind kind)
    {
        Contender step = _all.WholeBatch(kind);
        return new Contender(kind.Name, () =>
        {
            set_num_threads(1);
            _replicas.Agree(stop: false); // barrier
            long before = _replicas.BytesSummed;
            double seconds = step.Measure();
            BytesOfStep = _replicas.BytesSummed - before;
            return seconds;
        });
    }

    /// <summary>All-reduces a float32 tensor.</summary>
    /// <param name="bytes">The tensor's size.</param>
    public Contender Exchange(long bytes) => new("exchange", () =>
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor tensor = ones([bytes / sizeof(float)]);
        _replicas.Agree(stop: false); // barrier
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

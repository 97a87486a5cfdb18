using System.Diagnostics;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Benchmarks;

/// <summary>
/// Steps on a whole batch: in one process with as many threads as there are processes, and in all processes with one thread each. All
/// processes go through the same measurements; the times of rank 0 count.
/// </summary>
internal sealed class ScaleBench : IDisposable
{
    private readonly ProcessGroup _processGroup;
    private readonly StepBench? _one; // rank 0 only
    private readonly StepBench _all;

    public ScaleBench(Settings settings, ProcessGroup processGroup)
    {
        _processGroup = processGroup;
        _one = processGroup.IsRankZero ? new StepBench(settings, CPU) : null;
        _all = new StepBench(settings, CPU, processGroup);
    }

    /// <summary>Bytes that each process all-reduced in the last multi-process step.</summary>
    public long BytesOfStep { get; private set; }

    /// <summary>The single-process step, which the other processes wait for.</summary>
    public BenchmarkCase SingleProcess(StepKind kind)
    {
        BenchmarkCase? step = _one?.WholeBatch(kind);
        return new BenchmarkCase(kind.Name, () =>
        {
            set_num_threads(_processGroup.Shard.Count);
            return step?.Measure() ?? 0;
        });
    }

    /// <summary>The multi-process step.</summary>
    public BenchmarkCase MultiProcess(StepKind kind)
    {
        BenchmarkCase step = _all.WholeBatch(kind);
        return new BenchmarkCase(kind.Name, () =>
        {
            set_num_threads(1);
            _processGroup.AllReduceFlags(stop: false); // barrier
            long before = _processGroup.BytesReduced;
            double seconds = step.Measure();
            BytesOfStep = _processGroup.BytesReduced - before;
            return seconds;
        });
    }

    /// <summary>All-reduces a float32 tensor.</summary>
    /// <param name="bytes">The tensor's size.</param>
    public BenchmarkCase Exchange(long bytes) => new("exchange", () =>
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor tensor = ones([bytes / sizeof(float)]);
        _processGroup.AllReduceFlags(stop: false); // barrier
        long start = Stopwatch.GetTimestamp();
        _processGroup.AllReduceSum(tensor);
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    });

    public void Dispose()
    {
        _all.Dispose();
        _one?.Dispose();
    }
}

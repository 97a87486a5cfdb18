using System.Diagnostics;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Processes;
using Imta.MetaWeight.Experiments.Training;
using Imta.MetaWeight.Meta;

namespace Imta.MetaWeight.Experiments.Benchmarks;

/// <summary>
/// Steps of a whole batch of random images: by one process with a thread for each of several, and by those with a thread each. All processes
/// go through the same measurements; the first one tells the time.
/// </summary>
internal sealed class ScaleBench : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly Settings _settings;
    private readonly Replicas _replicas;
    private readonly LabelledImages _batch;
    private readonly LabelledImages _own;
    private readonly List<RunModel> _models = [];

    public ScaleBench(Settings settings, Replicas replicas)
    {
        (_settings, _replicas) = (settings, replicas);
        DatasetShape shape = DatasetShape.Of(settings.Data.Dataset);
        using Generator random = SeedSequence.Generator(settings.Seed, nameof(ScaleBench));
        _batch = new LabelledImages(
            randn([settings.Train.Batch, 3, shape.Side, shape.Side], generator: random),
            randint(shape.Classes, [settings.Train.Batch], int64, generator: random));
        Tensor within = replicas.Shard.Within(settings.Train.Batch);
        _own = new LabelledImages(_batch.Images.index_select(0, within), _batch.Labels.index_select(0, within));
    }

    /// <summary>Bytes that each process hands over to be summed in the last step of several.</summary>
    public long BytesOfStep { get; private set; }

    /// <summary>The step by one process, which the others wait for.</summary>
    public Contender ByOne(StepKind kind)
    {
        BilevelLoop? loop = _replicas.IsFirst ? Model(kind, Replicas.Alone).Loop : null;
        return new Contender(kind.Name, () =>
        {
            set_num_threads(_replicas.Shard.Of);
            return loop is null ? 0 : Time(() => Step(loop, _batch));
        });
    }

    /// <summary>The step by all of them.</summary>
    public Contender ByAll(StepKind kind)
    {
        BilevelLoop loop = Model(kind, _replicas).Loop;
        return new Contender(kind.Name, () =>
        {
            set_num_threads(1);
            _replicas.Agree(stop: false); // all have come
            long before = _replicas.BytesSummed;
            double seconds = Time(() => Step(loop, _own));
            BytesOfStep = _replicas.BytesSummed - before;
            return seconds;
        });
    }

    public void Dispose()
    {
        _models.ForEach(model => model.Dispose());
        _scope.Dispose();
    }

    private static double Time(Action step)
    {
        var clock = Stopwatch.StartNew();
        step();
        return clock.Elapsed.TotalSeconds;
    }

    private void Step(BilevelLoop loop, LabelledImages images)
    {
        using DisposeScope scope = NewDisposeScope();
        loop.Step(images, new Rates(_settings.Train.Rate, _settings.Meta.Optimiser.Rate), updateWeighting: true);
    }

    private RunModel Model(StepKind kind, Replicas replicas)
    {
        long[] counts = [.. Enumerable.Repeat(1L, DatasetShape.Of(_settings.Data.Dataset).Classes)];
        var model = RunModel.Build(TrainingPhase.Of(_settings with { Meta = kind.Meta })[0], counts, CPU, replicas);
        _models.Add(model);
        return model;
    }
}

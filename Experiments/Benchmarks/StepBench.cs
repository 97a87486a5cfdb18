using System.Diagnostics;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training;
using Imta.MetaWeight.Experiments.Training.Distributed;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;

namespace Imta.MetaWeight.Experiments.Benchmarks;

/// <summary>Training steps on random images, plain or with learned weights; times are per half batch unless stated otherwise.</summary>
internal sealed class StepBench : IDisposable
{
    private const int Halves = 2;

    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly Settings _settings;
    private readonly Device _device;
    private readonly ProcessGroup _processGroup;
    private readonly LabelledImages _batch; // with several processes: this one's shard
    private readonly List<IDisposable> _owned = [];

    public StepBench(Settings settings, Device device, ProcessGroup? processGroup = null)
    {
        if (settings.Modifiers.MetaGf.Enabled)
        {
            throw new UsageException(
                "single steps are measured, but modifiers.metaGf trains by epochs of several passes; set modifiers.metaGf.enabled=false");
        }

        (_settings, _device, _processGroup) = (settings, device, processGroup ?? ProcessGroup.SingleProcess);
        DatasetShape shape = DatasetShape.For(settings.Data);
        using Generator random = SeedSequence.Generator(settings.Seed, nameof(StepBench));
        Tensor own = _processGroup.Shard.Indices(settings.Train.Batch);
        _batch = new LabelledImages(
            randn([settings.Train.Batch, 3, shape.Side, shape.Side], generator: random).index_select(0, own).to(device),
            randint(shape.Classes, [settings.Train.Batch], int64, generator: random).index_select(0, own).to(device));
    }

    /// <summary>The parameters that a time depends on, with the names in <c>bench/README.md</c>.</summary>
    public IReadOnlyDictionary<string, int> Measures => new Dictionary<string, int>
    {
        ["half_batch"] = HalfBatch,
        ["classes"] = DatasetShape.For(_settings.Data).Classes,
        ["exits"] = _settings.Model.Exits(),
        ["threads"] = get_num_threads(),
    };

    /// <summary>Images per half batch.</summary>
    public int HalfBatch => _settings.Train.Batch / Halves;

    private long[] ClassCounts => [.. Enumerable.Repeat(1L, DatasetShape.For(_settings.Data).Classes)];

    /// <summary>Synchronises with the device.</summary>
    public void Wait()
    {
        if (_device.type == DeviceType.CUDA)
        {
            cuda.synchronize(_device);
        }
    }

    /// <summary>
    /// Builds a runner for steps of one kind. With learned weights, the time is half that of a batch, which has two halves.
    /// </summary>
    public BenchmarkCase Contender(StepKind kind)
    {
        RunModel model = Model(kind);
        LabelledImages batch = kind.Halves == Halves
            ? _batch
            : new LabelledImages(_batch.Images.chunk(Halves)[0], _batch.Labels.chunk(Halves)[0]);
        BilevelLoop loop = kind.IsPublished ? PublishedLoop(model, kind.Meta) : model.Loop;
        return new BenchmarkCase(kind.Name, () => Time(loop, model, batch) / kind.Halves);
    }

    /// <summary>Builds a runner for steps of one kind on a whole batch, shared by several processes.</summary>
    public BenchmarkCase WholeBatch(StepKind kind)
    {
        RunModel model = Model(kind);
        return new BenchmarkCase(kind.Name, () => Time(model.Loop, model, _batch));
    }

    public void Dispose()
    {
        _owned.ForEach(owned => owned.Dispose());
        _scope.Dispose();
    }

    private RunModel Model(StepKind kind)
    {
        ModifierSettings modifiers = _settings.Modifiers;
        modifiers = kind.Combination is { } name ? modifiers with { Combination = modifiers.Combination.Choose(name) } : modifiers;
        Settings settings = _settings with { Meta = kind.Meta, Modifiers = modifiers };
        var model = RunModel.Build(FirstPhase(settings), ClassCounts, _device, _processGroup);
        _owned.Add(model);
        return model;
    }

    /// <summary>The first phase that trains with the run's own settings: in the mixed regime, the second.</summary>
    private static TrainingPhase FirstPhase(Settings settings)
        => TrainingPhase.ForRun(settings)[settings.Phase2.Regime == PhaseTwoRegime.Mixed ? ^1 : 0];

    private BilevelLoop PublishedLoop(RunModel model, MetaSettings meta)
    {
        TrainingPhase phase = FirstPhase(_settings);
        if (phase.FreezesNetwork)
        {
            throw new UsageException("--published measures phase I, but phase2.from skips it; add --set phase2.from=null");
        }

        var optimiser = new Sgd(model.Network.named_parameters(), phase.Settings.Train);
        var loss = new TrainingLoss(phase.Settings.Loss, ClassCounts, float32, _device);
        ExitHeadNetwork copy = NetworkBuilder.PhaseOne(phase.Settings, _device);
        _owned.AddRange([optimiser, loss, copy]);
        var method = new PublishedMetaGradient(model.Network, copy, optimiser, loss, MetaGradients.Objective(meta, copy.Exits));
        return new BilevelLoop(method, model.Weighting, optimiser, new GradientSum());
    }

    private double Time(BilevelLoop loop, RunModel model, LabelledImages batch)
    {
        using DisposeScope scope = NewDisposeScope();
        var clock = Stopwatch.StartNew();
        IReadOnlyList<HalfBatchReport> halves = loop.Step(
            batch, new LearningRates(_settings.Train.Rate, _settings.Meta.Optimiser.Rate), model.Weighting.Learns(0));
        _ = halves[^1].Losses.sum().item<float>(); // waits for the device
        return clock.Elapsed.TotalSeconds;
    }
}

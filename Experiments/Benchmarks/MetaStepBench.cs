using System.Diagnostics;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Training;
using Imta.MetaWeight.Meta;

namespace Imta.MetaWeight.Experiments.Benchmarks;

/// <summary>A training step on random images, plain or with learned weights; times are of one half batch.</summary>
internal sealed class MetaStepBench : IDisposable
{
    private const int Parts = 2;

    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly Settings _settings;
    private readonly Device _device;
    private readonly LabelledImages _batch;
    private readonly List<RunModel> _models = [];

    public MetaStepBench(Settings settings, Device device)
    {
        (_settings, _device) = (settings, device);
        DatasetShape shape = DatasetShape.Of(settings.Data.Dataset);
        using Generator random = SeedSequence.Generator(settings.Seed, nameof(MetaStepBench));
        _batch = new LabelledImages(
            randn([settings.Train.Batch, 3, shape.Side, shape.Side], generator: random).to(device),
            randint(shape.Classes, [settings.Train.Batch], int64, generator: random).to(device));
    }

    /// <summary>What a time depends on, by the names of <c>bench/README.md</c>.</summary>
    public IReadOnlyDictionary<string, int> Measures => new Dictionary<string, int>
    {
        ["half_batch"] = _settings.Train.Batch / Parts,
        ["classes"] = DatasetShape.Of(_settings.Data.Dataset).Classes,
        ["exits"] = _settings.Model.Msdnet.Blocks,
        ["threads"] = get_num_threads(),
    };

    /// <summary>The plain step on half a batch.</summary>
    public Contender Plain()
    {
        BilevelLoop loop = Model(_settings with { Meta = _settings.Meta with { Enabled = false } }).Loop;
        var half = new LabelledImages(_batch.Images.chunk(Parts)[0], _batch.Labels.chunk(Parts)[0]);
        return new Contender("plain", () => Time(loop, half));
    }

    /// <summary>A part of the step with learned weights: half the time of a whole batch, which has two.</summary>
    public Contender Weighted(MetaGradientMethod method)
    {
        BilevelLoop loop = Model(_settings with { Meta = _settings.Meta with { Enabled = true, Gradient = method } }).Loop;
        return new Contender(SettingsSchema.YamlName(method.ToString()), () => Time(loop, _batch) / Parts);
    }

    public void Dispose()
    {
        foreach (RunModel model in _models)
        {
            model.Dispose();
        }

        _scope.Dispose();
    }

    private RunModel Model(Settings settings)
    {
        long[] counts = [.. Enumerable.Repeat(1L, DatasetShape.Of(settings.Data.Dataset).Classes)];
        var model = RunModel.Build(settings, counts, _device);
        _models.Add(model);
        return model;
    }

    private double Time(BilevelLoop loop, LabelledImages batch)
    {
        using DisposeScope scope = NewDisposeScope();
        var clock = Stopwatch.StartNew();
        IReadOnlyList<PartReport> parts = loop.Step(batch, new Rates(_settings.Train.Rate, _settings.Meta.Optimiser.Rate), updateWeighting: true);
        _ = parts[^1].Losses.sum().item<float>(); // waits for the device
        return clock.Elapsed.TotalSeconds;
    }
}

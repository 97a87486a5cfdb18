using System.Diagnostics;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Benchmarks;

/// <summary>Inference on a batch of random images: the plain forward pass, and early-exit execution with given exit shares.</summary>
internal sealed class InferBench : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly List<EarlyExit> _runners = [];
    private readonly MultiExitNetwork _network;
    private readonly Tensor _images;

    public InferBench(Settings settings, int batch, Device device)
    {
        DatasetShape shape = DatasetShape.For(settings.Data);
        using Generator random = SeedSequence.Generator(settings.Seed, nameof(InferBench));
        _network = NetworkBuilder.Build(settings, device);
        _images = randn([batch, 3, shape.Side, shape.Side], generator: random).to(device);
        Macs = [.. _network.Cost(shape.Side).Exits.Select(exit => exit.Macs)];
    }

    /// <summary>MACs per exit, K values.</summary>
    public IReadOnlyList<long> Macs { get; }

    /// <summary>The forward pass used for evaluation during training: separate batch norm, NCHW, all exits.</summary>
    public BenchmarkCase FullForward() => new("plain forward pass", () =>
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        var clock = Stopwatch.StartNew();
        return Finish(clock, _network.Forward(_images, NormStatistics.Running)[^1]);
    });

    /// <summary>Early-exit execution.</summary>
    /// <param name="name">The name of the case.</param>
    /// <param name="shares">The share of samples that leave at each exit, K values; the samples are chosen at random.</param>
    /// <param name="compaction">When rows of exited samples are dropped.</param>
    public BenchmarkCase WithEarlyExits(string name, IReadOnlyList<double> shares, Compaction compaction)
    {
        var runner = new EarlyExit(_network, compaction);
        _runners.Add(runner);
        Tensor exits = Exits(shares);
        return new(name, () =>
        {
            using DisposeScope scope = NewDisposeScope();
            var clock = Stopwatch.StartNew();
            return Finish(clock, runner.Run(_images, (k, _, rows) => exits.index_select(0, rows).eq(Held(k))).Logits);
        });
    }

    /// <summary>Mean MACs per sample, relative to the whole network.</summary>
    public double MacShare(IReadOnlyList<double> shares) => shares.Zip(Macs, (share, macs) => share * macs).Sum() / Macs[^1];

    public void Dispose()
    {
        _runners.ForEach(runner => runner.Dispose());
        _network.Dispose();
        _scope.Dispose();
    }

    /// <summary>Seconds until the predictions are available.</summary>
    private static double Finish(Stopwatch clock, Tensor logits)
    {
        _ = logits.sum().item<float>(); // waits for the device
        return clock.Elapsed.TotalSeconds;
    }

    /// <summary>The exit of each sample of the batch.</summary>
    private Tensor Exits(IReadOnlyList<double> shares)
    {
        long samples = _images.shape[0];
        var exits = new long[samples];
        double until = 0;
        for (int k = 0, row = 0; k < shares.Count; k++)
        {
            until += shares[k];
            for (; row < (k == shares.Count - 1 ? samples : Math.Round(until * samples)); row++)
            {
                exits[row] = k;
            }
        }

        using Generator random = new(0);
        return tensor(exits).index_select(0, randperm(samples, int64, generator: random)).to(_images.device);
    }
}
